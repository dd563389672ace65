"""Compaction of an hour on Azure: its file in Azurite is read by DuckDB."""

from __future__ import annotations

import datetime
import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.functions.timer import TimerRequest
from azure.storage.blob import BlobSasPermissions, generate_blob_sas

from cloud_functions.core import keys
from cloud_functions.core.columns import COLUMNS, merge
from cloud_functions.core.keys import HOUR_MS
from tests.integration.azure.conftest import Site
from tests.unit.cloud.test_compaction import windows_of
from wire import codec
from wire.model import Aggregates, Batch

duckdb = pytest.importorskip("duckdb")

WINDOW_MS, WINDOWS = 10_000, 60
"""Windows of a batch: six batches are an hour."""


def stored_rows(batch: Batch) -> Aggregates:
    rows = codec.decode(codec.encode(batch)).rows
    assert isinstance(rows, Aggregates)
    return rows


def as_rows(gateway: str, rows: Aggregates) -> list[tuple[Any, ...]]:
    return [
        (gateway, rows.series[i].name, rows.series[i].unit, *(getattr(rows, name)[at].item() for name in COLUMNS))
        for at, i in enumerate(rows.series_index.tolist())
    ]


def files_of(site: Site, folder: Path) -> list[Path]:
    """Download the files of the archive as a reader that has only their addresses, and return their paths."""
    container, found = site.storage.container("archive"), []
    for name in container.list_blob_names(name_starts_with="rows/"):
        blob = container.get_blob_client(name)
        token = generate_blob_sas(
            account_name=str(blob.account_name),
            container_name=blob.container_name,
            blob_name=str(name),
            account_key=blob.credential.account_key,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5),
        )
        path = folder / str(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(f"{blob.url}?{token}", timeout=10) as answer:  # noqa: S310 # loopback
            path.write_bytes(answer.read())
        found.append(path)
    return found


def query(folder: Path) -> list[tuple[Any, ...]]:
    columns = ", ".join("epoch_ms(start)" if name == "start_ms" else name for name in COLUMNS)
    with duckdb.connect() as connection:
        found: list[tuple[Any, ...]] = connection.execute(
            f"SELECT gateway, series, unit, {columns} FROM read_parquet('{folder}/rows/*/*.parquet')"  # noqa: S608
            " ORDER BY gateway, series, start"
        ).fetchall()
    return found


def test_a_whole_hour_becomes_one_file_that_duckdb_reads_and_a_late_batch_replaces_it(
    site: Site, tmp_path: Path
) -> None:
    hour_ms = site.now // HOUR_MS * HOUR_MS - 3 * HOUR_MS
    sent: dict[str, list[Aggregates]] = {"gw-13": [], "gw-14": []}

    def send(gateway: str, sequence: int) -> None:
        start_ms = hour_ms + (sequence - 1) * WINDOWS * WINDOW_MS
        batch = Batch(gateway, 7, sequence, windows_of(start_ms, WINDOWS, WINDOW_MS, sequence))
        site.send(batch)
        sent[gateway].append(stored_rows(batch))

    for sequence in range(1, 7):
        for gateway in sent:
            if (gateway, sequence) != ("gw-14", 4):
                send(gateway, sequence)
    handlers = site.handlers()
    handlers.compact(TimerRequest(past_due=False))
    assert handlers.metrics.counts["tasks_failed"] == 0
    wanted = [row for gateway, parts in sent.items() for row in as_rows(gateway, merge(parts))]
    (file,) = files_of(site, tmp_path)
    day = datetime.datetime.fromtimestamp(hour_ms / 1000, datetime.UTC)
    assert file.relative_to(tmp_path).as_posix() == f"rows/date={day:%Y-%m-%d}/{day:%H}-0000.parquet"
    assert json.dumps(query(tmp_path)) == json.dumps(wanted)

    send("gw-14", 4)
    handlers.compact(TimerRequest(past_due=False))
    wanted = [row for gateway, parts in sent.items() for row in as_rows(gateway, merge(parts))]
    assert files_of(site, tmp_path) == [file]
    found = query(tmp_path)
    assert json.dumps(found) == json.dumps(wanted)
    assert len(found) == 2 * 6 * WINDOWS * len(sent["gw-13"][0].series)
    hours = list(site.table("telemetry").query("hours#gw-14"))
    assert len(hours) == 1
    assert np.array([row[3] for row in found]).min() == hour_ms
    assert keys.time(hour_ms) in str(hours[0]["sk"])
