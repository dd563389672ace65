"""The compaction in the local cloud: schedule, queue, function, role, bucket and a query of the archive."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.core.columns import COLUMNS, merge
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import Key
from cloud_functions.core.storing import Storer
from device_sim.aws.local import LocalCloud
from tests.command_line import invoke
from tests.unit.cloud.fakes import body
from tests.unit.cloud.test_compaction import windows_of
from tests.waiting import until
from wire import codec
from wire.model import Aggregates, Batch

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path_factory.mktemp("cloud")) as running:
        yield running


def store(cloud: LocalCloud, batch: Batch, now_ms: int) -> None:
    """Store a batch as ingest would have stored it at ``now_ms``."""
    from cloud_functions.core.arrival import open_envelope, read_envelope

    table = DynamoTable(cloud.outputs["TelemetryTableName"], cloud.client("dynamodb"))
    storer = Storer(table, lambda: now_ms, 7 * 24 * HOUR_MS)
    storer.store(open_envelope(read_envelope(body(batch, received_at=now_ms)), check_client=False))


def objects(cloud: LocalCloud) -> list[str]:
    answer = cloud.client("s3").list_objects_v2(Bucket=cloud.outputs["ArchiveBucketName"])
    return [entry["Key"] for entry in answer.get("Contents", [])]


def query(cloud: LocalCloud, folder: Path) -> list[tuple[Any, ...]]:
    for key in objects(cloud):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        cloud.client("s3").download_file(cloud.outputs["ArchiveBucketName"], key, str(folder / key))
    columns = ", ".join("epoch_ms(start)" if name == "start_ms" else name for name in COLUMNS)
    with duckdb.connect() as connection:
        found: list[tuple[Any, ...]] = connection.execute(
            f"SELECT gateway, series, unit, {columns} FROM read_parquet('{folder}/rows/*/*.parquet')"  # noqa: S608
            " ORDER BY gateway, series, start"
        ).fetchall()
    return found


def as_rows(gateway: str, rows: Aggregates) -> list[tuple[Any, ...]]:
    return [
        (gateway, rows.series[i].name, rows.series[i].unit, *(getattr(rows, name)[at].item() for name in COLUMNS))
        for at, i in enumerate(rows.series_index.tolist())
    ]


def test_stored_batches_become_an_archive_that_duckdb_reads_and_late_ones_reopen_it(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    now_ms = time.time_ns() // 1_000_000
    hour_ms = now_ms // HOUR_MS * HOUR_MS - 3 * HOUR_MS
    sent: dict[str, list[Aggregates]] = {"gw-1": [], "gw-2": []}

    def deliver(gateway: str, sequence: int, minute: int) -> None:
        batch = Batch(gateway, 7, sequence, windows_of(hour_ms + minute * 60_000, 6, 10_000, sequence))
        store(cloud, batch, now_ms)
        rows = codec.decode(codec.encode(batch)).rows
        assert isinstance(rows, Aggregates)
        sent[gateway].append(rows)

    def compact() -> None:
        cloud.compact()
        table = DynamoTable(cloud.outputs["TelemetryTableName"], cloud.client("dynamodb"))
        until(lambda: not any(list(table.query(f"reopened#{n:02d}")) for n in range(16)), "no hour is open")

    for sequence in (1, 2):
        for gateway in sent:
            deliver(gateway, sequence, sequence)
    compact()
    deliver("gw-1", 3, 30)
    compact()
    wanted = [row for gateway, parts in sent.items() for row in as_rows(gateway, merge(parts))]
    assert json.dumps(query(cloud, tmp_path)) == json.dumps(wanted)
    assert len(objects(cloud)) == 1
    path = f"/v1/gateways/gw-1/aggregates?series=a.x&from={hour_ms}&to={hour_ms + HOUR_MS}&resolution=15m"
    status, answer = cloud.call_api("GET", path)
    assert status == 200
    mine = merge(sent["gw-1"])
    assert sum(answer["columns"]["count"]) == int(mine.count[mine.series_index == 0].sum())
    assert np.isfinite(answer["columns"]["mean"]).all()


def test_the_api_reads_rows_of_expired_batches_from_the_archive(cloud: LocalCloud) -> None:
    now_ms = time.time_ns() // 1_000_000
    hour_ms = now_ms // HOUR_MS * HOUR_MS - 10 * 24 * HOUR_MS
    table = DynamoTable(cloud.outputs["TelemetryTableName"], cloud.client("dynamodb"))
    batch = Batch("gw-old", 7, 1, windows_of(hour_ms, 12, 10_000, 1))
    store(cloud, batch, now_ms)
    cloud.compact()
    until(lambda: list(table.query("hours#gw-old")), "the hour is compacted")
    until(lambda: not any(list(table.query(f"reopened#{n:02d}")) for n in range(16)), "no hour is open")
    table.remove([Key(str(item["pk"]), str(item["sk"])) for item in table.query("batches#gw-old")])
    path = f"/v1/gateways/gw-old/aggregates?series=a.y&from={hour_ms}&to={hour_ms + HOUR_MS}&resolution=raw"
    status, answer = cloud.call_api("GET", path)
    assert status == 200
    rows = codec.decode(codec.encode(batch)).rows
    assert isinstance(rows, Aggregates)
    mine = rows.take(np.flatnonzero(rows.series_index == 1))
    assert answer["columns"]["start_ms"] == mine.start_ms.tolist()
    assert answer["columns"]["mean"] == mine.mean.tolist()


def test_an_erased_series_leaves_both_tables_and_the_archives_files(
    cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    hour_ms = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS - 2 * HOUR_MS
    table = DynamoTable(cloud.outputs["TelemetryTableName"], cloud.client("dynamodb"))
    for sequence, gateway in enumerate(("gw-8", "gw-9"), start=1):
        store(cloud, Batch(gateway, 7, sequence, windows_of(hour_ms, 6, 10_000, sequence)), hour_ms + 2 * HOUR_MS)
    cloud.compact()
    until(lambda: list(table.query("hours#gw-9")), "the hour is compacted")
    until(lambda: not any(list(table.query(f"reopened#{n:02d}")) for n in range(16)), "no hour is open")

    def erase(*options: str) -> dict[str, Any]:
        done = invoke(["erase", "--gateway", "gw-9", "--json", *options])
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    counted = erase("--series", "a.x")["counts"]
    assert erase("--series", "a.x", "--yes")["counts"] == counted == {"batches": 1, "hours": 1, "about": 1, "files": 1}
    assert {row[:2] for row in query(cloud, tmp_path) if row[0] in ("gw-8", "gw-9")} == {
        ("gw-8", "a.x"),
        ("gw-8", "a.y"),
        ("gw-9", "a.y"),
    }
    assert erase("--yes")["counts"]["files"] == 1
    assert erase()["counts"] == {}
    assert {row[0] for row in query(cloud, tmp_path)} >= {"gw-8"}
    assert not [row for row in query(cloud, tmp_path) if row[0] == "gw-9"]
    assert not list(table.query("batches#gw-9"))
