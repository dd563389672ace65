"""A damaged spool is kept, and its readable content is restored."""

from __future__ import annotations

import contextlib
import functools
import random
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest

from edge_components.forwarder.errors import SpoolError
from edge_components.forwarder.spool import wal_repair
from edge_components.forwarder.spool.entries import ReceivedBatch
from edge_components.forwarder.spool.frames import StateVersion
from edge_components.forwarder.spool.recovery import _compare_version_1, open_spool
from edge_components.forwarder.spool.spool import Spool
from tests.examples import some_slow
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.model import Anomalies, Anomaly, Batch, Phase
from wire.topics import Lane

ANOMALY = Anomaly("pump-1.temperature", Phase.ONSET, 1_700_000_000_000, 1_700_000_001_000, 2.5, "spike")


def test_invalid_file_is_moved_aside_and_a_new_epoch_begins(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    path.write_bytes(b"SQLite format 3\x00" + b"rubbish" * 1000)
    spool = open_spool(path, epoch=9, max_bytes=10_000, wall_ms=42)
    assert spool.epoch == 9
    assert spool.losses() == {"spools_damaged": 1}
    assert (tmp_path / "spool.sqlite3.42.damaged").read_bytes().endswith(b"rubbish")
    spool.close()


def test_a_file_of_a_newer_schema_is_rejected_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    spool = Spool.open(path, epoch=1, max_bytes=10_000)
    spool._db.execute("CREATE TABLE what_newer_ones_have (id INTEGER)")
    spool._db.execute("PRAGMA user_version=99")
    spool.close()
    with pytest.raises(SpoolError, match="schema 99"):
        open_spool(path, epoch=2, max_bytes=10_000, wall_ms=1)
    assert [entry.name for entry in tmp_path.iterdir() if "damaged" in entry.name] == []


def test_a_flipped_bit_in_the_schema_s_number_is_damage_and_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    _filled(path)
    data = bytearray(path.read_bytes())
    data[61] ^= 0x10
    path.write_bytes(data)
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert (spool.epoch, spool.losses(), len(list(spool.pending()))) == (2, {"spools_damaged": 1}, 30)
    spool.close()


def _filled(path: Path) -> None:
    for name, content in _filled_files().items():
        path.with_name(name).write_bytes(content)


@functools.cache
def _filled_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder) / "spool.sqlite3")
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def _fill(path: Path) -> None:
    spool = Spool.open(path, epoch=1, max_bytes=10_000_000)
    anomaly = Anomaly("pump-1.temperature", Phase.ONSET, 1_700_000_000_000, 1_700_000_001_000, 2.5, "spike")
    for sequence in range(1, 31):
        payload = codec.encode(Batch("gw", 7, sequence, Anomalies((anomaly,) * 3)))
        spool.store([ReceivedBatch(7, sequence, Lane.URGENT, 3, payload)])
    rng = random.Random(1)
    for _ in range(200):
        spool.put(Lane.BULK, rng.randbytes(3_000), 50, used_rows=0, created_ms=0)
    spool.number(spool.unsent(Lane.BULK, 20))
    spool.close()


def test_a_batch_that_was_sent_keeps_its_epoch_and_number_through_the_recovery(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    _filled(path)
    data = bytearray(path.read_bytes())
    # The last page belongs to the newest batches: those with the lowest numbers stay readable.
    data[-4096:] = b"\xff" * 4096
    data[100:108] = b"\xff" * 8
    path.write_bytes(data)
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert spool.epoch == 2
    names = [(batch.epoch, batch.sequence) for key in spool.sent() if (batch := spool.get(key))]
    assert all(epoch == 1 for epoch, _ in names)
    freed = spool.free(Acknowledgement(1, 20))
    assert len(freed) == len(names)
    spool.close()


@pytest.mark.parametrize("seed", some_slow(range(12), fast=2))
def test_the_spool_opens_after_any_flipped_bytes_and_losses_are_counted(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "spool.sqlite3"
    _filled(path)
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for at in rng.integers(100, len(data), 20 if seed % 2 else 2000):
        data[int(at)] ^= int(rng.integers(1, 256))
    path.write_bytes(data)
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    sound = sum(batch.rows for key in spool.sent() if (batch := spool.get(key)))
    while unsent := spool.unsent(Lane.BULK, 1000):
        numbered = spool.number(unsent)
        sound += sum(batch.rows for batch in numbered)
    losses = spool.losses()
    if sound < 200 * 50:
        assert losses, "rows are gone and nothing was counted"
    spool.close()


@pytest.mark.parametrize(
    "word", some_slow([b"CREATE TABLE batches", b"lane INTEGER", b"CREATE TABLE senders", b"crc INTEGER"], fast=2)
)
def test_one_flipped_bit_in_the_schema_costs_nothing(tmp_path: Path, word: bytes) -> None:
    path = tmp_path / "spool.sqlite3"
    _filled(path)
    data = bytearray(path.read_bytes())
    data[data.index(word) + len(word) - 1] ^= 0x10
    path.write_bytes(data)
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert spool.losses() == {"spools_damaged": 1}
    assert spool.holds(7, 30), "a sender's repetition would be stored as new"
    assert len(list(spool.pending())) == 30
    assert len(spool.sent()) == 20
    assert len(spool.unsent(Lane.BULK, 1000)) == 180
    spool.close()


@pytest.mark.parametrize("word", [b"created_ms", b"touched", b"reason", b"used"])
def test_no_loss_by_a_flipped_bit_in_a_column_name_while_commits_are_in_the_journal(
    tmp_path: Path, word: bytes
) -> None:
    path = tmp_path / "spool.sqlite3"
    spool = open_spool(path, epoch=1, max_bytes=10_000_000, wall_ms=1)
    spool.checkpoint()
    payload = codec.encode(Batch("gw", 7, 1, Anomalies((ANOMALY,) * 3)))
    spool.store([ReceivedBatch(7, 1, Lane.URGENT, 3, payload)])
    spool.put(Lane.BULK, b"body", 50, used_rows=0, created_ms=0)
    spool.count_loss("dropped_rows_too_large", 2)
    spool.abandon()
    data = bytearray(path.read_bytes())
    for at in [at for at in range(len(data)) if data.startswith(word, at)]:
        data[at] ^= 0x10
    path.write_bytes(data)
    again = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert again.losses() == {"dropped_rows_too_large": 2, "spools_damaged": 1}
    assert (len(list(again.pending())), len(again.unsent(Lane.BULK, 9)), again.holds(7, 1)) == (1, 1, True)
    again.close()


@pytest.mark.parametrize("column", ["payload", "body", "cumulative"])
def test_a_schema_that_is_found_damaged_while_the_spool_is_opened_is_recovered(tmp_path: Path, column: str) -> None:
    path = tmp_path / "spool.sqlite3"
    _filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ?, 'other ')", (f"{column} ",))
    with pytest.raises(sqlite3.DatabaseError, match="damaged"):
        Spool.open(path, epoch=2, max_bytes=10_000_000, known=True)
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert spool.losses() == {"spools_damaged": 1}
    assert (len(list(spool.pending())), len(spool.sent()), len(spool.unsent(Lane.BULK, 1000))) == (30, 20, 180)
    assert spool.holds(7, 30)
    spool.close()


def test_a_row_that_was_changed_in_the_database_alone_is_restored_from_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    spool = open_spool(path, epoch=1, max_bytes=10_000_000, wall_ms=1)
    spool.store([ReceivedBatch(7, 1, Lane.URGENT, 10, codec.pack(Anomalies((ANOMALY,))))])
    spool.checkpoint()
    spool.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE pending SET rows = 11")
    again = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert ([row.rows for row in again.pending()], again.losses()) == ([10], {"spools_damaged": 1})
    again.close()


@pytest.mark.parametrize(
    ("here", "log", "repairable", "behind"),
    [
        (8, False, False, True),
        (9, False, False, False),
        (9, True, False, False),
        (9, True, True, True),
        (11, True, True, False),
    ],
)
def test_a_database_may_be_one_commit_behind_a_journal_of_the_first_format_unless_its_log_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: int, log: bool, repairable: bool, behind: bool
) -> None:
    kept = tmp_path / "spool.sqlite3-wal-kept"
    if log:
        kept.write_bytes(b"log")
    monkeypatch.setattr(wal_repair, "repaired", lambda data, page: b"repaired" if repairable else None)
    expected: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if behind:
        expected = pytest.raises(ValueError, match=f"commit {here} is behind commit 10")
    with expected:
        _compare_version_1(StateVersion(1, here, 0), StateVersion(1, 10, 0), kept)
