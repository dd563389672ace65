"""After a kill and a flipped bit in the log, the spool continues from the last commit."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.forwarder.spool import journal, wal_repair
from edge_components.forwarder.spool.entries import ReceivedBatch
from edge_components.forwarder.spool.recovery import open_spool
from edge_components.forwarder.spool.spool import Spool
from tests.examples import examples, some_slow
from wire import codec
from wire.model import Anomalies, Anomaly, Batch, Phase
from wire.topics import Lane

NAME = "spool.sqlite3"
ANOMALY = Anomaly("pump-1.temperature", Phase.ONSET, 1_700_000_000_000, 1_700_000_001_000, 2.5, "spike")
TAKEN, FORMED, NUMBERED = 30, 40, 12
BATCH_BYTES = 3_000


def killed(folder: Path, into: Path) -> Path:
    """Fill a spool and return its files as after a kill -9, copied while it is open."""
    folder.mkdir()
    spool = Spool.open(folder / NAME, epoch=1, max_bytes=10_000_000)
    for sequence in range(1, TAKEN + 1):
        payload = codec.encode(Batch("gw", 7, sequence, Anomalies((ANOMALY,) * 3)))
        spool.store([ReceivedBatch(7, sequence, Lane.URGENT, 3, payload)])
    rng = random.Random(1)
    for _ in range(FORMED):
        spool.put(Lane.BULK, rng.randbytes(BATCH_BYTES), 50, used_rows=0, created_ms=0)
    spool.number(spool.unsent(Lane.BULK, NUMBERED))
    spool.fold()
    into.mkdir()
    for file in folder.iterdir():
        shutil.copy(file, into)
    spool.close()
    return into / NAME


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def flip(file: Path, places: list[int]) -> None:
    data = bytearray(file.read_bytes())
    for place in places:
        data[place] ^= 1
    file.write_bytes(data)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("left")
    return killed(folder / "alive", folder / "dead")


@pytest.fixture
def path(left: Path, tmp_path: Path) -> Path:
    shutil.copytree(left.parent, tmp_path / "work")
    return tmp_path / "work" / NAME


def state(spool: Spool) -> tuple[int, int, int, int]:
    """Return the numbers of batches, numbered batches and pending rows, and the sender's newest number."""
    pending = sum(row.rows for row in spool.pending())
    return sum(spool.counts().values()), len(spool.sent()), pending, spool.acknowledgement(7).cumulative


WHOLE = (FORMED, NUMBERED, 3 * TAKEN, TAKEN)


def test_a_kill_alone_is_not_damage(path: Path) -> None:
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert (state(spool), spool.epoch, spool.losses()) == (WHOLE, 1, {})
    spool.close()


@pytest.mark.parametrize("seed", some_slow(range(20), fast=6))
def test_a_bit_flipped_anywhere_in_the_log_costs_nothing(path: Path, seed: int) -> None:
    log = log_of(path)
    flip(log, [random.Random(seed).randrange(log.stat().st_size)])
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert state(spool) == WHOLE
    sent = {(batch.epoch, batch.sequence) for key in spool.sent() if (batch := spool.get(key))}
    assert all(epoch == 1 for epoch, _ in sent), "a batch that the cloud may have keeps its name"
    assert spool.losses() == ({"spools_damaged": 1} if spool.epoch == 2 else {})
    assert not path.with_name(path.name + ".recovering").exists()
    spool.close()


def test_a_log_whose_header_is_flipped_is_read_all_the_same(path: Path) -> None:
    for place in (1, 9, 17, 25):
        flip(log_of(path), [place])
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert state(spool) == WHOLE
    assert spool.epoch == 2, "numbers that may have been given are not given again"
    spool.close()


def test_a_spool_that_is_suddenly_empty_is_damaged_and_not_new(path: Path) -> None:
    path.unlink()
    log_of(path).unlink()
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert spool.losses() == {"spools_damaged": 1}, "the journal has all of it"
    assert (state(spool), spool.epoch) == (WHOLE, 2)
    spool.close()


def test_a_recovery_that_was_cut_short_is_taken_up_again(path: Path) -> None:
    flip(log_of(path), [32 + 24 + 100])
    for suffix in ("", "-wal", *journal.SUFFIXES):  # as far as the first step of a recovery comes, and no further
        path.with_name(path.name + suffix).rename(path.with_name(path.name + ".recovering" + suffix))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert state(spool)[0] >= FORMED - 3
    spool.close()
    again = open_spool(path, epoch=3, max_bytes=10_000_000, wall_ms=6)
    assert again.epoch == 2
    assert [file.name for file in path.parent.iterdir() if "recovering" in file.name] == []
    again.close()


def test_a_recovery_that_ended_before_its_last_step_keeps_the_new_spool(path: Path) -> None:
    shutil.copy(path, path.with_name(path.name + ".recovering"))
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert (state(spool), spool.epoch) == (WHOLE, 1)
    assert path.with_name(path.name + ".5.damaged").exists()
    spool.close()


def test_a_fold_interrupted_by_a_power_cut_is_not_damage(tmp_path: Path) -> None:
    """SQLite's commit is incomplete on the disk, and the journal of the previous one is complete."""
    path = tmp_path / NAME
    spool = open_spool(path, epoch=1, max_bytes=10_000_000, wall_ms=1)
    for sequence in range(1, TAKEN + 1):
        payload = codec.encode(Batch("gw", 7, sequence, Anomalies((ANOMALY,) * 3)))
        spool.store([ReceivedBatch(7, sequence, Lane.URGENT, 3, payload)])
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")}
    spool.fold()
    log = log_of(path).read_bytes()
    spool.abandon()
    synced = len(before[log_of(path).name])
    assert synced < len(log)
    for cut in (*range(synced, len(log), 3001), len(log)):
        shutil.rmtree(tmp_path / "cut", ignore_errors=True)
        (tmp_path / "cut").mkdir()
        for name, data in before.items():
            (tmp_path / "cut" / name).write_bytes(data)
        log_of(tmp_path / "cut" / NAME).write_bytes(log[:cut])
        again = open_spool(tmp_path / "cut" / NAME, epoch=2, max_bytes=10_000_000, wall_ms=5)
        assert (again.epoch, again.losses(), state(again)) == (1, {}, (0, 0, 3 * TAKEN, TAKEN))
        again.close()


@pytest.mark.parametrize("size", [0, 1, 1000, -1000, -1])
def test_a_journal_truncated_by_a_power_cut_does_not_cause_a_recovery(path: Path, size: int) -> None:
    for suffix in journal.SUFFIXES:
        file = path.with_name(path.name + suffix)
        file.write_bytes(file.read_bytes()[:size])
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert (state(spool), spool.epoch, spool.losses()) == (WHOLE, 1, {})
    spool.close()


@pytest.mark.parametrize("rubbish", [b"rubbish", bytes(20), b"\xa5SJ1" * 100, None])
def test_an_unreadable_journal_does_not_cause_a_recovery(path: Path, rubbish: bytes | None) -> None:
    for suffix in journal.SUFFIXES:
        file = path.with_name(path.name + suffix)
        if rubbish is None:
            file.unlink()
        else:
            file.write_bytes(rubbish)
    spool = open_spool(path, epoch=2, max_bytes=10_000_000, wall_ms=5)
    assert (state(spool), spool.epoch) == (WHOLE, 1)
    spool.close()


def test_a_transaction_without_changes_writes_nothing(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / NAME, epoch=1, max_bytes=1_000_000)
    before = log_of(tmp_path / NAME).stat().st_size
    for _ in range(10):
        spool.demote(32)
    assert log_of(tmp_path / NAME).stat().st_size == before
    spool.close()


def test_a_sound_log_is_left_as_it_is(left: Path) -> None:
    assert wal_repair.repaired(log_of(left).read_bytes(), 4096) is None


@settings(max_examples=examples(15))
@given(st.data())
def test_a_repaired_log_is_read_completely_by_sqlite(left: Path, data: st.DataObject) -> None:
    log = bytearray(log_of(left).read_bytes())
    pages = [32 + at * 4120 + 24 + 4000 for at in range((len(log) - 32) // 4120)]
    place = data.draw(st.sampled_from(pages[:-3]))
    log[place] ^= 0xFF
    mended = wal_repair.repaired(bytes(log), 4096)
    assert mended is not None
    assert len(mended) == len(log)
    assert wal_repair.repaired(mended, 4096) is None
    assert sum(a != b for a, b in zip(mended, log_of(left).read_bytes(), strict=True)) > 1, "checksums behind it"


@given(st.binary(max_size=10_000), st.sampled_from([512, 4096]))
def test_any_bytes_are_repaired_or_left_unchanged(data: bytes, page_bytes: int) -> None:
    mended = wal_repair.repaired(data, page_bytes)
    assert mended is None or wal_repair.repaired(mended, page_bytes) is None


def test_initial_copy_of_these_tests_has_all_rows_in_its_log(left: Path) -> None:
    with sqlite3.connect(f"file:{left}?mode=ro&immutable=1", uri=True) as db:
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    db.close()
    assert tables == 0, "without the log there is nothing"
