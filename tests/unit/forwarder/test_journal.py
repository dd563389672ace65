"""The journal says what the spool holds, stays small, and is never the reason why a row is lost or taken twice."""

from __future__ import annotations

import errno
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.forwarder import journal
from edge_components.forwarder.errors import SpoolError, SpoolReadOnlyError
from edge_components.forwarder.journal import SUFFIXES, Change, Journal, Moment, read
from edge_components.forwarder.recovery import open_spool
from edge_components.forwarder.rows import Arrival
from edge_components.forwarder.spool import Spool
from wire.acknowledgement import Acknowledgement
from wire.topics import Lane

NAME = "spool.sqlite3"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / NAME


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = open_spool(path, 5, 10_000_000, 1)
    yield spool
    spool.close()


def take(spool: Spool, sequence: int, payload: bytes = b"x" * 100) -> None:
    spool.take_in([Arrival(7, sequence, Lane.BULK, 10, payload)])


def files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in SUFFIXES]


def test_both_files_say_what_the_spool_holds_and_the_first_has_the_payloads(path: Path, spool: Spool) -> None:
    take(spool, 1, b"payload of the first")
    spool.put(Lane.BULK, b"body of a batch", 4, 4, 0)
    spool.number(spool.unsent(Lane.BULK, 1))
    found = read(path)
    assert found is not None
    assert (found.intact, found.moment, found.rows) == (True, spool.moment, spool.held())
    first, second = (file.read_bytes() for file in files(path))
    assert b"payload of the first" in first
    assert b"body of a batch" in first
    assert b"payload" not in second
    files(path)[0].write_bytes(b"")
    alone = read(path)
    assert alone is not None
    assert (alone.intact, alone.rows) == (True, spool.held())


def test_it_is_begun_anew_when_it_has_grown_and_stays_bounded(
    path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "GROWN_BYTES", 20_000)
    rng = random.Random(1)
    for number in range(1, 50):
        take(spool, number, rng.randbytes(2000))
        spool.put(Lane.BULK, rng.randbytes(2000), 10, 10, 0)
        (batch,) = spool.number(spool.unsent(Lane.BULK, 1))
        spool.free(Acknowledgement(5, batch.sequence))
        assert files(path)[0].stat().st_size < 30_000
    found = read(path)
    assert found is not None
    assert (found.intact, found.rows) == (True, spool.held())


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, SpoolError), (errno.EROFS, SpoolReadOnlyError)])
def test_what_cannot_be_noted_is_not_committed_and_later_is(
    path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[SpoolError]
) -> None:
    take(spool, 1)

    def refuse(_file: int, _data: bytes) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(journal, "_write", refuse)
    with pytest.raises(kind, match="its journal"):
        take(spool, 2)
    assert not spool.holds(7, 2)
    assert len(list(spool.pending())) == 1
    monkeypatch.undo()
    take(spool, 2)
    found = read(path)
    assert found is not None
    assert (found.moment, found.rows) == (spool.moment, spool.held())


def test_a_commit_that_failed_after_it_was_noted_is_not_in_the_journal_for_long(path: Path, spool: Spool) -> None:
    take(spool, 1)
    spool._db.set_authorizer(
        lambda action, name, *_: (
            sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION and name == "COMMIT" else sqlite3.SQLITE_OK
        )
    )
    with pytest.raises(SpoolError):
        take(spool, 2, b"never committed")
    spool._db.set_authorizer(None)
    take(spool, 2, b"committed")
    found = read(path)
    assert found is not None
    assert (found.moment, found.rows) == (spool.moment, spool.held())


def test_killed_between_the_note_and_the_commit_the_spool_is_sound_and_the_sender_repeats_itself(
    path: Path, spool: Spool, tmp_path: Path
) -> None:
    take(spool, 1)
    before = tmp_path / "before"
    before.mkdir()
    for file in path.parent.glob(f"{NAME}*"):
        shutil.copy(file, before)
    take(spool, 2)
    for file in files(path):
        shutil.copy(file, before)  # the journal has the second, the database never got it
    again = open_spool(before / NAME, 6, 10_000_000, 2)
    assert (again.epoch, again.losses(), again.holds(7, 1), again.holds(7, 2)) == (5, {}, True, False)
    take(again, 2, b"again")
    again.close()
    third = open_spool(before / NAME, 7, 10_000_000, 3)
    assert (third.epoch, [row.payload for row in third.pending()]) == (5, [b"x" * 100, b"again"])
    third.close()


def test_frames_of_one_commit_count_only_together(path: Path) -> None:
    writer = Journal(path)
    rows = [Change(("pending", key), [1, 10, 0, 0]) for key in range(100)]
    writer.add(Moment(5, 1, 0), [], lambda: rows)
    writer.add(Moment(5, 2, 0), [Change(("pending", key), None) for key in range(100)], list)
    writer.close()
    for file in files(path):
        file.write_bytes(file.read_bytes()[:-20])
    found = read(path)
    assert found is not None
    assert (found.intact, found.moment.commits, len(found.rows)) == (True, 1, 100)


@settings(max_examples=60)
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 7)), max_size=12))
def test_any_bytes_are_read_and_only_sound_frames_believed(
    tmp_path_factory: pytest.TempPathFactory, rubbish: bytes, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / NAME
    writer = Journal(path)
    writer.add(Moment(5, 1, 0), [], lambda: [Change(("losses", "rows"), [1])])
    for number in range(2, 20):
        writer.add(Moment(5, number, 0), [Change(("losses", "rows"), [number], b"payload")], list)
    writer.close()
    for file in files(path):
        data = bytearray(file.read_bytes())
        for at, bit in flips:
            data[at % len(data)] ^= 1 << bit
        file.write_bytes(data + rubbish)
    found = read(path)
    if found is not None:
        assert 1 <= found.moment.commits <= 19
        assert all(1 <= values[0] <= 19 for values in found.rows.values())
        if found.intact:
            assert found.rows["losses", "rows"] == [found.moment.commits]
