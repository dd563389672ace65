"""Archive files: every row is restored, and DuckDB reads the same rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_functions.core.columns import COLUMNS, merge
from tests.unit.cloud.fakes import aggregates
from tests.unit.cloud.test_columns import bits
from wire.model import Aggregates, Series

pytest.importorskip("pyarrow")

from cloud_functions.adapters import parquet


def gateway_rows(seed: int) -> Aggregates:
    """Return rows of three series, one without a resolution, with missing scores in some rows."""
    rows = aggregates(seed, rows=30)
    score = rows.score.copy()
    score[::4] = np.nan
    series = (*rows.series[:2], Series("pump9/flow", "l/s"))
    return merge([replace(rows, series=series, score=score, revision=np.arange(30) % 3)])


def test_the_rows_of_gateways_are_restored_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 70)
    gateways = [(f"gw-{at}", gateway_rows(at)) for at in range(5)]
    assert parquet.write(tmp_path / "a.parquet", gateways) == 150
    found = list(parquet.read(tmp_path / "a.parquet"))
    assert [name for name, _ in found] == [name for name, _ in gateways]
    for (_, one), (_, other) in zip(gateways, found, strict=True):
        assert bits(one) == bits(other)


def test_no_file_is_written_without_rows(tmp_path: Path) -> None:
    assert parquet.write(tmp_path / "a.parquet", []) == 0
    assert parquet.write(tmp_path / "a.parquet", [("gw-1", merge([]))]) == 0
    assert not (tmp_path / "a.parquet").exists()


def test_duckdb_reads_every_row_and_skips_groups_of_other_gateways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.setattr(parquet, "GROUP_ROWS", 50)
    gateways = [(f"gw-{at}", gateway_rows(at)) for at in range(4)]
    folder = tmp_path / "rows" / "date=2026-11-27"
    folder.mkdir(parents=True)
    parquet.write(folder / "05-0000.parquet", gateways)
    wanted = [
        (name, rows.series[i].name, rows.series[i].unit, *(getattr(rows, column)[at] for column in COLUMNS))
        for name, rows in gateways
        for at, i in enumerate(rows.series_index.tolist())
    ]
    with duckdb.connect() as connection:
        columns = ", ".join("epoch_ms(start)" if name == "start_ms" else name for name in COLUMNS)
        found = connection.execute(
            f"SELECT gateway, series, unit, {columns} FROM read_parquet('{tmp_path}/rows/*/*.parquet')"  # noqa: S608
            " WHERE date = '2026-11-27' ORDER BY gateway, series, unit, start"
        ).fetchall()
        groups = connection.execute(
            "SELECT row_group_id, stats_min_value FROM parquet_metadata(?) WHERE path_in_schema = 'gateway'",
            [str(folder / "05-0000.parquet")],
        ).fetchall()
    assert repr([[float(v) if isinstance(v, float) else v for v in row] for row in found]) == repr(
        [[v.item() if isinstance(v, np.generic) else v for v in row] for row in wanted]
    )
    assert len(groups) > 1
    assert all(group[1] is not None for group in groups)
