"""The spool keeps stored rows across restarts, errors and flipped bits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_components.forwarder.errors import SpoolError, SpoolFullError
from edge_components.forwarder.spool import statements
from edge_components.forwarder.spool.entries import ReceivedBatch
from edge_components.forwarder.spool.spool import Spool
from wire.acknowledgement import Acknowledgement
from wire.topics import Lane

SENDER, EPOCH = 77, 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite3"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    with_spool = Spool.open(path, EPOCH, max_bytes=10_000)
    yield with_spool
    with_spool.close()


def take(spool: Spool, sequence: int, rows: int = 10, payload: bytes = b"x" * 100, lane: Lane = Lane.BULK) -> None:
    spool.store([ReceivedBatch(SENDER, sequence, lane, rows, payload)])


def quarantine(spool: Spool) -> list[str]:
    return [reason for (reason,) in spool._db.execute("SELECT reason FROM quarantine")]


def put(spool: Spool, *bodies: bytes, lane: Lane = Lane.BULK, rows: int = 1) -> None:
    for body in bodies:
        spool.put(lane, body, rows, used_rows=0, created_ms=1)


def test_stored_rows_are_available_after_a_restart(path: Path, spool: Spool) -> None:
    take(spool, 1, payload=b"first")
    take(spool, 2, payload=b"second", lane=Lane.URGENT)
    spool.close()
    again = Spool.open(path, epoch=6, max_bytes=10_000)
    assert again.epoch == EPOCH
    assert [(row.lane, row.used, row.payload) for row in again.pending()] == [
        (Lane.BULK, 0, b"first"),
        (Lane.URGENT, 0, b"second"),
    ]
    assert again.holds(SENDER, 2)
    assert not again.holds(SENDER, 3)
    assert again.acknowledgement(SENDER) == Acknowledgement(SENDER, 2)
    assert again.size == 11
    again.close()


def test_a_batch_uses_up_pending_rows_from_the_oldest_and_in_part(spool: Spool) -> None:
    take(spool, 1, rows=10)
    take(spool, 2, rows=10)
    spool.put(Lane.BULK, b"batch", 13, used_rows=13, created_ms=1)
    assert [(row.used, len(row.payload)) for row in spool.pending()] == [(3, 100)]
    spool.put(Lane.BULK, b"batch", 7, used_rows=7, created_ms=1)
    assert list(spool.pending()) == []
    assert spool.size == 10


def test_using_up_one_lane_leaves_the_other(spool: Spool) -> None:
    take(spool, 1, rows=1, lane=Lane.BULK)
    take(spool, 2, rows=1, lane=Lane.URGENT)
    spool.put(Lane.URGENT, b"u", 1, used_rows=1, created_ms=1)
    assert [row.lane for row in spool.pending()] == [Lane.BULK]


def test_using_more_rows_than_are_pending_is_rejected(spool: Spool) -> None:
    take(spool, 1, rows=2)
    with pytest.raises(SpoolError, match="only 2 are pending"):
        spool.put(Lane.BULK, b"batch", 3, used_rows=3, created_ms=1)
    assert spool.unsent(Lane.BULK, 9) == []
    assert len(list(spool.pending())) == 1


def test_a_batch_without_rows_is_held_and_leaves_nothing_pending(spool: Spool) -> None:
    take(spool, 1, rows=0)
    assert spool.holds(SENDER, 1)
    assert list(spool.pending()) == []


def test_a_batch_gets_its_number_when_it_is_sent_and_keeps_it(path: Path, spool: Spool) -> None:
    put(spool, b"a", b"b")
    (first, second) = spool.number(spool.unsent(Lane.BULK, 9))
    assert [(b.epoch, b.sequence, b.body) for b in (first, second)] == [(EPOCH, 1, b"a"), (EPOCH, 2, b"b")]
    assert spool.unsent(Lane.BULK, 9) == []
    spool.close()
    again = Spool.open(path, epoch=6, max_bytes=10_000)
    assert again.sent() == [first.id, second.id]
    assert again.get(second.id) == second
    again.close()


def test_an_acknowledgement_frees_only_the_covered_batches(spool: Spool) -> None:
    put(spool, *(b"batch" for _ in range(6)))
    spool.number(spool.unsent(Lane.BULK, 6))
    assert len(spool.free(Acknowledgement(EPOCH, 2, ((4, 5),)))) == 4
    left = [spool.get(key) for key in spool.sent()]
    assert [batch.sequence for batch in left if batch] == [3, 6]
    assert spool.size == 10


def test_an_acknowledgement_of_another_epoch_frees_nothing(spool: Spool) -> None:
    put(spool, b"batch")
    spool.number(spool.unsent(Lane.BULK, 1))
    assert spool.free(Acknowledgement(6, 1)) == []
    assert len(spool.sent()) == 1


def test_numbers_continue_after_a_restart_even_if_all_batches_are_freed(path: Path, spool: Spool) -> None:
    put(spool, b"batch")
    spool.number(spool.unsent(Lane.BULK, 1))
    spool.free(Acknowledgement(EPOCH, 1))
    spool.close()
    again = Spool.open(path, epoch=6, max_bytes=10_000)
    put(again, b"next")
    assert [batch.sequence for batch in again.number(again.unsent(Lane.BULK, 1))] == [2]
    again.close()


def test_a_full_spool_stores_no_batch_of_a_group_that_does_not_fit(spool: Spool) -> None:
    take(spool, 1, payload=b"x" * 9_950)
    with pytest.raises(SpoolFullError, match="9950 of 10000"):
        take(spool, 2)
    assert not spool.holds(SENDER, 2)
    assert len(list(spool.pending())) == 1


def test_a_failed_commit_leaves_nothing_that_could_be_acknowledged(path: Path, spool: Spool) -> None:
    thief = sqlite3.connect(path, isolation_level=None)
    spool._db.execute("PRAGMA busy_timeout=1")
    thief.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpoolError, match="locked"):
        take(spool, 1)
    thief.execute("ROLLBACK")
    thief.close()
    assert not spool.holds(SENDER, 1)
    assert spool.size == 0


def test_a_batch_whose_bytes_changed_on_the_disk_is_set_aside_and_counted(path: Path, spool: Spool) -> None:
    put(spool, b"sound", b"rotten", b"sound", rows=7)
    spool._db.execute("UPDATE batches SET body = x'726f7474656f' WHERE body = CAST('rotten' AS BLOB)")
    assert [batch.body for batch in spool.unsent(Lane.BULK, 9)] == [b"sound", b"sound"]
    assert spool.losses() == {"dropped_rows_unreadable": 7}
    assert quarantine(spool) == ["checksum mismatch"]


def test_the_quarantine_keeps_the_newest_entries(monkeypatch: pytest.MonkeyPatch, spool: Spool) -> None:
    monkeypatch.setattr(statements, "MAX_QUARANTINED", 2)
    for sequence in (1, 2, 3):
        spool.store([ReceivedBatch(SENDER, sequence, Lane.BULK, 10, b"x", f"reason {sequence}")])
    assert quarantine(spool) == ["reason 2", "reason 3"]
    assert spool.losses() == {"dropped_rows_unexpected": 30}
    assert list(spool.pending()) == []
    assert spool.size == 0


def test_all_but_the_newest_unsent_bulk_becomes_backfill(spool: Spool) -> None:
    put(spool, b"1", b"2", b"3", b"4", b"5")
    put(spool, b"u", lane=Lane.URGENT)
    assert spool.demote(keep=2) == 3
    assert spool.demote(keep=2) == 0
    assert [batch.body for batch in spool.unsent(Lane.BULK, 9)] == [b"4", b"5"]
    assert [batch.body for batch in spool.unsent(Lane.BACKFILL, 9)] == [b"1", b"2", b"3"]


def test_batches_are_dropped_by_priority(spool: Spool) -> None:
    put(spool, b"sent")
    spool.number(spool.unsent(Lane.BULK, 1))
    put(spool, b"bulk")
    put(spool, b"urgent", lane=Lane.URGENT)
    put(spool, b"backfill", lane=Lane.BACKFILL)
    dropped = [spool.drop_oldest() for _ in range(5)]
    assert dropped == [(Lane.BACKFILL, 1), (Lane.BULK, 1), (Lane.BULK, 1), (Lane.URGENT, 1), None]
    assert spool.losses() == {"dropped_rows_backfill": 1, "dropped_rows_bulk": 2, "dropped_rows_urgent": 1}
    assert spool.size == 0


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match=r"nowhere/spool\.sqlite3"):
        Spool.open(tmp_path / "nowhere" / "spool.sqlite3", epoch=1, max_bytes=1)


def test_only_the_newest_senders_are_remembered(spool: Spool) -> None:
    for epoch in range(1, 20):
        spool.store([ReceivedBatch(epoch, 1, Lane.BULK, 1, b"x")])
    assert not spool.holds(3, 1)
    assert spool.holds(4, 1)
    assert spool.holds(19, 1)
