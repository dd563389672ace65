"""The journal has every commit, stays small, and causes no lost or duplicate row."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.forwarder.errors import SpoolError, SpoolReadOnlyError
from edge_components.forwarder.spool import journal
from edge_components.forwarder.spool.entries import ReceivedBatch
from edge_components.forwarder.spool.frames import Change, StateVersion
from edge_components.forwarder.spool.journal import SUFFIXES, Journal
from edge_components.forwarder.spool.recovery import open_spool
from edge_components.forwarder.spool.replay import read
from edge_components.forwarder.spool.spool import Spool
from tests.examples import examples
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
    spool.store([ReceivedBatch(7, sequence, Lane.BULK, 10, payload)])


def files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in SUFFIXES]


def in_sqlite(path: Path, query: str) -> int:
    """Return a number from what SQLite has committed."""
    with sqlite3.connect(path) as db:
        number = int(db.execute(query).fetchone()[0])
    db.close()
    return number


def test_both_files_have_the_facts_and_the_payloads_of_all_commits(path: Path, spool: Spool) -> None:
    take(spool, 1, b"payload of the first")
    spool.put(Lane.BULK, b"body of a batch", 4, 4, 0)
    spool.number(spool.unsent(Lane.BULK, 1))
    found = read(path)
    assert found is not None
    assert (found.intact, found.version, found.rows) == (True, spool.version, spool.row_values())
    for file in files(path):
        kept = file.read_bytes()
        assert b"payload of the first" in kept
        assert b"body of a batch" in kept
        file.write_bytes(b"")
        alone = read(path)
        assert alone is not None
        assert (alone.intact, alone.rows) == (True, spool.row_values())
        file.write_bytes(kept)


def test_a_commit_is_in_the_journal_and_not_in_sqlite_until_a_fold(path: Path, spool: Spool) -> None:
    take(spool, 1)
    assert in_sqlite(path, "SELECT count(*) FROM pending") == 0
    spool.fold()
    assert in_sqlite(path, "SELECT count(*) FROM pending") == 1


def test_a_fold_keeps_payloads_in_the_first_file_and_facts_in_the_second(path: Path, spool: Spool) -> None:
    take(spool, 1, b"payload of the first")
    spool.fold()
    first, second = (file.read_bytes() for file in files(path))
    assert b"payload of the first" in first
    assert b"payload" not in second
    found = read(path)
    assert found is not None
    assert (found.intact, found.first, found.rows) == (True, spool.version.commits, spool.row_values())


def test_it_is_replaced_by_a_snapshot_when_it_has_grown(
    path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "GROWTH_BYTES", 20_000)
    rng = random.Random(1)
    for number in range(1, 50):
        take(spool, number, rng.randbytes(2000))
        spool.put(Lane.BULK, rng.randbytes(2000), 10, 10, 0)
        (batch,) = spool.number(spool.unsent(Lane.BULK, 1))
        spool.free(Acknowledgement(5, batch.sequence))
        assert files(path)[0].stat().st_size < 30_000
    found = read(path)
    assert found is not None
    assert found.first > 0
    assert (found.intact, found.rows) == (True, spool.row_values())


def test_a_batch_that_is_formed_sent_and_freed_between_two_folds_never_reaches_sqlite(path: Path, spool: Spool) -> None:
    spool.fold()
    pages = in_sqlite(path, "SELECT page_count FROM pragma_page_count")
    for number in range(1, 30):
        take(spool, number, random.Random(number).randbytes(4000))
        spool.put(Lane.BULK, random.Random(-number).randbytes(4000), 10, 10, 0)
        (batch,) = spool.number(spool.unsent(Lane.BULK, 1))
        spool.free(Acknowledgement(5, batch.sequence))
    spool.fold()
    assert in_sqlite(path, "SELECT page_count FROM pragma_page_count") <= pages + 6, "room for one batch, not for 29"


def test_a_group_of_changes_is_one_commit_without_temporary_rows(path: Path, spool: Spool) -> None:
    take(spool, 1)
    before = spool.version.commits
    with spool.group():
        take(spool, 2, b"payload that is used up")
        spool.put(Lane.BULK, b"body", 20, 20, 0)
        spool.number(spool.unsent(Lane.BULK, 1))
    assert spool.version.commits == before + 1
    assert b"payload that is used up" not in files(path)[0].read_bytes()
    found = read(path)
    assert found is not None
    assert found.rows == spool.row_values()


def test_a_group_that_fails_changes_nothing(spool: Spool) -> None:
    take(spool, 1)
    before = (spool.row_values(), spool.version, spool.size)

    def several() -> None:
        with spool.group():
            take(spool, 2)
            spool.put(Lane.BULK, b"body", 99, 99, 0)

    with pytest.raises(SpoolError, match="only 20 are pending"):
        several()
    assert (spool.row_values(), spool.version, spool.size) == before
    assert not spool.holds(7, 2)


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, SpoolError), (errno.EROFS, SpoolReadOnlyError)])
def test_a_commit_that_cannot_be_written_is_not_made_and_later_is(
    path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[SpoolError]
) -> None:
    take(spool, 1)

    def refuse(_file: int, _data: bytes, _at: int) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(journal, "_write", refuse)
    with pytest.raises(kind, match="its journal"):
        take(spool, 2)
    with pytest.raises(kind, match="its journal"):
        take(spool, 2)
    assert not spool.holds(7, 2)
    assert len(list(spool.pending())) == 1
    monkeypatch.undo()
    take(spool, 2)
    found = read(path)
    assert found is not None
    assert (found.version, found.rows) == (spool.version, spool.row_values())


def test_an_unsynced_commit_is_never_mixed_with_a_later_one(
    path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(spool, 1)

    def fail(_file: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(SpoolError):
        take(spool, 2, b"never acknowledged")
    monkeypatch.undo()
    take(spool, 2, b"acknowledged")
    spool.abandon()
    again = open_spool(path, 6, 10_000_000, 2)
    assert [row.payload for row in again.pending()] == [b"x" * 100, b"acknowledged"]
    again.close()


def test_a_failed_commit_of_sqlite_loses_nothing(path: Path, spool: Spool) -> None:
    take(spool, 1)
    spool._db.set_authorizer(
        lambda action, name, *_: (
            sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION and name == "COMMIT" else sqlite3.SQLITE_OK
        )
    )
    with pytest.raises(SpoolError):
        spool.fold()
    take(spool, 2, b"second")
    spool._db.set_authorizer(None)
    spool.fold()
    found = read(path)
    assert found is not None
    assert (found.version, found.rows) == (spool.version, spool.row_values())


def test_frames_of_one_commit_count_only_together(path: Path) -> None:
    writer = Journal(path)
    rows = [Change(("pending", key), [1, 10, 0, 0]) for key in range(100)]
    writer.snapshot(StateVersion(5, 1, 0), rows)
    writer.append(StateVersion(5, 2, 0), [Change(("pending", key), None) for key in range(100)], durable=False)
    writer.close()
    for file in files(path):
        data = file.read_bytes().rstrip(b"\0")
        file.write_bytes(data[:-20])
    found = read(path)
    assert found is not None
    assert (found.intact, found.version.commits, len(found.rows)) == (True, 1, 100)


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 7)), max_size=12))
def test_only_valid_frames_of_any_bytes_are_read(
    tmp_path_factory: pytest.TempPathFactory, rubbish: bytes, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / NAME
    writer = Journal(path)
    writer.snapshot(StateVersion(5, 1, 0), [Change(("losses", "rows"), [1])])
    for number in range(2, 20):
        writer.append(StateVersion(5, number, 0), [Change(("losses", "rows"), [number])], durable=True)
    writer.close()
    for file in files(path):
        data = bytearray(file.read_bytes().rstrip(b"\0"))
        for at, bit in flips:
            data[at % len(data)] ^= 1 << bit
        file.write_bytes(data + rubbish)
    found = read(path)
    if found is not None:
        assert 1 <= found.version.commits <= 19
        assert all(1 <= values[0] <= 19 for values in found.rows.values())
        if found.intact:
            assert found.rows["losses", "rows"] == [found.version.commits]


class Disk:
    """Names of the files and folders that were synced, and of those that had their final name by then."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.synced = path, list[str]()
        self.there: list[bool] = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self.observe(getattr(os, name)))

    def observe(self, call: Callable[[int], None]) -> Callable[[int], None]:
        def wrapped(file: int) -> None:
            self.synced.append(Path(f"/proc/self/fd/{file}").readlink().name)
            self.there.append(files(self.path)[0].exists())
            call(file)

        return wrapped


def test_the_first_file_is_synced_before_it_gets_its_name_and_the_folder_afterwards(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, writer = Disk(path, monkeypatch), Journal(path)
    writer.snapshot(StateVersion(5, 1, 0), [])
    assert disk.synced == [f"{NAME}{SUFFIXES[0]}{journal.PART}", path.parent.name]
    assert disk.there == [False, True]
    writer.close()


def test_only_durable_commits_and_requests_sync_the_first_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Journal(path)
    writer.snapshot(StateVersion(5, 1, 0), [])
    disk = Disk(path, monkeypatch)
    writer.append(StateVersion(5, 2, 0), [Change(("losses", "rows"), [1])], durable=False)
    assert disk.synced == []
    writer.append(StateVersion(5, 3, 0), [Change(("losses", "rows"), [2])], durable=True)
    writer.sync()
    assert disk.synced == [f"{NAME}{SUFFIXES[0]}"] * 2
    writer.close()


def test_the_files_of_a_former_process_are_synced_although_this_one_has_not_opened_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Journal(path)
    writer.snapshot(StateVersion(5, 1, 0), [])
    writer.close()
    disk = Disk(path, monkeypatch)
    Journal(path).sync()
    assert disk.synced == [NAME + suffix for suffix in SUFFIXES]
    files(path)[0].unlink()
    Journal(path).sync()
    assert disk.synced[2:] == [NAME + SUFFIXES[1]]


def test_the_spare_files_of_a_former_process_are_not_reused(path: Path) -> None:
    """They may have frames of another epoch, which a snapshot that is shorter would not overwrite."""
    writer = Journal(path)
    spares = [file.with_name(file.name + journal.SPARE) for file in files(path)]
    for spare in spares:
        spare.write_bytes(b"another epoch")
    writer.snapshot(StateVersion(5, 1, 0), [])
    assert not any(spare.exists() for spare in spares)
    for commit in (2, 3):
        writer.snapshot(StateVersion(5, commit, 0), [])
        assert all(spare.exists() for spare in spares)
    writer.close()


def test_a_group_waits_for_the_disk_only_if_a_change_in_it_must_be_durable(
    path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(spool, 1)
    disk = Disk(path, monkeypatch)
    with spool.group():
        spool.put(Lane.BULK, b"body", 5, 5, 0)
        spool.put(Lane.BULK, b"body", 5, 5, 0)
    assert disk.synced == []
    with spool.group():
        spool.put(Lane.BULK, b"body", 0, 0, 0)
        take(spool, 2)
        take(spool, 3)
    assert disk.synced == [f"{NAME}{SUFFIXES[0]}"]
