"""The spool keeps what it said it has, across restarts and damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_components.forwarder.errors import SpoolError, SpoolFullError
from edge_components.forwarder.spool import Pending, Spool, Spooled
from wire.acknowledgement import Acknowledgement
from wire.topics import Lane

SENDER = 77


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite3"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    with_spool = Spool.open(path, epoch=5, max_bytes=10_000, wall_ms=1)
    yield with_spool
    with_spool.close()


def take(spool: Spool, sequence: int, rows: int = 10, payload: bytes = b"x" * 100, lane: Lane = Lane.BULK) -> None:
    spool.take_in([(SENDER, sequence, lane, rows, payload)])


def test_what_was_taken_in_is_there_after_a_restart(path: Path, spool: Spool) -> None:
    take(spool, 1, payload=b"first")
    take(spool, 2, payload=b"second", lane=Lane.URGENT)
    spool.close()
    again = Spool.open(path, epoch=6, max_bytes=10_000, wall_ms=2)
    assert again.epoch == 5
    assert list(again.pending()) == [Pending(Lane.BULK, 0, b"first"), Pending(Lane.URGENT, 0, b"second")]
    assert again.holds(SENDER, 2)
    assert not again.holds(SENDER, 3)
    assert again.acknowledgement(SENDER) == Acknowledgement(SENDER, 2)
    assert again.size == 11
    again.close()


def test_a_batch_uses_up_pending_rows_from_the_oldest_and_in_part(spool: Spool) -> None:
    take(spool, 1, rows=10)
    take(spool, 2, rows=10)
    assert spool.put(Lane.BULK, b"batch", used_rows=13, created_ms=1) == 1
    assert [(row.used, len(row.payload)) for row in spool.pending()] == [(3, 100)]
    assert spool.put(Lane.BULK, b"batch", used_rows=7, created_ms=1) == 2
    assert list(spool.pending()) == []
    assert spool.size == 10


def test_using_up_one_lane_leaves_the_other(spool: Spool) -> None:
    take(spool, 1, rows=1, lane=Lane.BULK)
    take(spool, 2, rows=1, lane=Lane.URGENT)
    spool.put(Lane.URGENT, b"u", used_rows=1, created_ms=1)
    assert [row.lane for row in spool.pending()] == [Lane.BULK]


def test_using_up_more_rows_than_are_pending_is_refused_and_changes_nothing(spool: Spool) -> None:
    take(spool, 1, rows=2)
    with pytest.raises(SpoolError, match="only 2 are pending"):
        spool.put(Lane.BULK, b"batch", used_rows=3, created_ms=1)
    assert spool.next_sequence == 1
    assert len(list(spool.pending())) == 1


def test_an_acknowledgement_frees_what_it_covers_and_no_more(spool: Spool) -> None:
    for _ in range(6):
        spool.put(Lane.BULK, b"batch", used_rows=0, created_ms=1)
    assert spool.free(Acknowledgement(5, 2, ((4, 5),))) == 4
    assert [batch.sequence for batch in spool.after(Lane.BULK, 0, 10)] == [3, 6]
    assert spool.size == 10


def test_an_acknowledgement_of_another_epoch_frees_nothing(spool: Spool) -> None:
    spool.put(Lane.BULK, b"batch", used_rows=0, created_ms=1)
    assert spool.free(Acknowledgement(6, 1)) == 0
    assert spool.get(1) == Spooled(1, Lane.BULK, b"batch")


def test_numbers_go_on_after_a_restart_even_when_all_is_freed(path: Path, spool: Spool) -> None:
    spool.put(Lane.BULK, b"batch", used_rows=0, created_ms=1)
    spool.free(Acknowledgement(5, 1))
    spool.close()
    again = Spool.open(path, epoch=6, max_bytes=10_000, wall_ms=2)
    assert again.next_sequence == 2
    again.close()


def test_a_full_spool_takes_in_none_of_what_does_not_fit(spool: Spool) -> None:
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


def test_a_damaged_file_is_moved_aside_whole_and_a_new_epoch_begins(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + b"rubbish" * 1000)
    spool = Spool.open(path, epoch=9, max_bytes=10_000, wall_ms=42)
    assert spool.epoch == 9
    assert spool.damaged is not None
    assert spool.damaged.name == "spool.sqlite3.42.damaged"
    assert spool.damaged.read_bytes().endswith(b"rubbish")
    spool.close()


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match=r"nowhere/spool\.sqlite3"):
        Spool.open(tmp_path / "nowhere" / "spool.sqlite3", epoch=1, max_bytes=1, wall_ms=1)


def test_only_the_newest_senders_are_remembered(spool: Spool) -> None:
    for epoch in range(1, 20):
        spool.take_in([(epoch, 1, Lane.BULK, 1, b"x")])
    assert not spool.holds(3, 1)
    assert spool.holds(4, 1)
    assert spool.holds(19, 1)
