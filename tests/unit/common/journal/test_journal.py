"""Committed records are recovered in order after a restart, and disk errors lose no appended records."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from edge_components.common.journal import Journal, JournalError, Lost, Record
from edge_components.common.journal.journal import CHUNK_BYTES
from tests.unit.common.journal.disk import FakeDisk

FOLDER = Path("journal")


def reopened(disk: FakeDisk) -> tuple[Journal, bytes | None, list[tuple[int, bytes]]]:
    journal, recovered = Journal.open(FOLDER, disk)
    assert not recovered.lost
    return journal, recovered.snapshot, [(r.kind, r.body) for r in recovered.records if isinstance(r, Record)]


def test_a_new_folder_holds_nothing(tmp_path: Path) -> None:
    journal, recovered = Journal.open(tmp_path / "journal")
    assert (recovered.snapshot, list(recovered.records), recovered.repaired) == (None, [], 0)
    assert (journal.size, journal.records, journal.snapshot_size) == (0, 0, 0)
    assert not (tmp_path / "journal").exists()
    journal.close()


def test_committed_records_are_there_after_a_restart_and_others_are_not(tmp_path: Path) -> None:
    journal, _ = Journal.open(tmp_path / "journal")
    journal.append(1, b"one")
    journal.append(2, b"")
    journal.commit()
    journal.append(3, b"never committed")
    journal.close()
    journal, recovered = Journal.open(tmp_path / "journal")
    assert list(recovered.records) == [Record(1, b"one"), Record(2, b"")]
    journal.close()


def test_a_snapshot_replaces_the_records_before_it() -> None:
    disk = FakeDisk()
    journal, *_ = reopened(disk)
    for generation in range(5):
        journal.append(1, b"%d" % generation)
        journal.snapshot(b"state %d" % generation)
        journal.append(2, b"after %d" % generation)
        journal.commit()
        _, snapshot, records = reopened(disk)
        assert snapshot == b"state %d" % generation
        assert records == [(2, b"after %d" % generation)]


def test_it_continues_after_each_restart() -> None:
    disk = FakeDisk()
    for number in range(50):
        journal, snapshot, records = reopened(disk)
        assert (snapshot, len(records)) == (
            (b"%d" % (number // 10 * 10), number % 10) if number >= 10 else (None, number)
        )
        journal.append(1, b"%d" % number)
        journal.commit()
        if number % 10 == 9:
            journal.snapshot(b"%d" % (number + 1))


def test_a_commit_writes_its_frame_once_and_syncs_only_the_main_file() -> None:
    disk = FakeDisk()
    journal, *_ = reopened(disk)
    journal.append(1, b"x")
    journal.commit()
    before = len(disk.operations)
    journal.append(1, b"reading" * 100)
    journal.commit()
    changes = [(operation, name) for operation, name, _, _ in disk.operations[before:]]
    assert changes == [("write", "segment-0"), ("sync", "segment-0"), ("write", "segment-0-replica")]
    assert len(disk.operations[before][3]) < 150, "repeated bytes are deflated"


def test_nothing_to_commit_touches_no_file() -> None:
    disk = FakeDisk()
    journal, *_ = reopened(disk)
    journal.commit()
    assert disk.operations == []
    assert journal.durable


def test_a_recovered_state_is_durable_only_after_a_sync() -> None:
    disk = FakeDisk()
    journal, *_ = reopened(disk)
    journal.append(1, b"x")
    journal.commit()
    journal, _, records = reopened(disk.killed())
    assert records
    assert not journal.durable
    journal.commit()
    assert journal.durable


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("failing", ["allocate", "write", "sync"])
def test_after_a_failed_commit_the_next_one_writes_everything(code: int, failing: str) -> None:
    disk = FakeDisk(failing=frozenset({failing}))
    journal, *_ = reopened(disk)
    if failing != "allocate":
        journal.append(1, b"before")
        journal.commit()
    disk.refusing = code
    journal.append(1, b"one")
    for _ in range(3):
        with pytest.raises(JournalError, match="journal journal: "):
            journal.commit()
        with pytest.raises(JournalError):
            journal.snapshot(b"state")
    assert not journal.durable
    journal.append(1, b"two")
    disk.refusing = None
    journal.commit()
    assert journal.durable
    _, snapshot, records = reopened(disk.cut({}))
    assert snapshot is None
    assert records[-2:] == [(1, b"one"), (1, b"two")]


def test_a_snapshot_that_fails_leaves_the_one_before_in_force() -> None:
    disk = FakeDisk(failing=frozenset({"sync"}))
    journal, *_ = reopened(disk)
    journal.append(1, b"one")
    journal.snapshot(b"first")
    journal.append(2, b"two")
    journal.commit()
    disk.refusing = errno.EIO
    with pytest.raises(JournalError):
        journal.snapshot(b"second")
    disk.refusing = None
    journal.append(3, b"three")
    journal.commit()
    for left in (disk.killed(), disk.cut({})):
        _, snapshot, records = reopened(left)
        assert (snapshot, records) in [
            (b"first", [(2, b"two"), (3, b"three")]),
            (b"second", [(3, b"three")]),
        ]


def test_a_replica_that_cannot_be_written_is_counted_and_costs_only_the_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = FakeDisk()
    journal, *_ = reopened(disk)
    whole = disk.write

    def write(name: str, offset: int, data: bytes) -> None:
        if name.endswith("-replica"):
            raise OSError(errno.EIO, "broken")
        whole(name, offset, data)

    monkeypatch.setattr(disk, "write", write)
    journal.append(1, b"one")
    journal.commit()
    monkeypatch.undo()
    journal.append(1, b"two")
    journal.commit()
    assert reopened(disk)[2] == [(1, b"one"), (1, b"two")]


@pytest.mark.slow
def test_a_segment_that_was_large_once_is_shortened() -> None:
    disk = FakeDisk()
    journal, *_ = reopened(disk)
    chance = random.Random(1)
    for _ in range(2):
        journal.snapshot(chance.randbytes(40 * CHUNK_BYTES))
    large = disk.size("segment-0") + disk.size("segment-1")
    for _ in range(4):
        journal.snapshot(b"small")
    assert disk.size("segment-0") + disk.size("segment-1") == 2 * CHUNK_BYTES < large
    assert reopened(disk)[1] == b"small"


def test_a_segment_that_is_only_a_little_too_large_is_not_allocated_again() -> None:
    disk = FakeDisk()
    journal, *_ = reopened(disk)
    chance = random.Random(1)
    for _ in range(2):
        journal.snapshot(chance.randbytes(10 * CHUNK_BYTES))
    sizes = [disk.size(name) for name in ("segment-0", "segment-1")]
    for _ in range(4):
        journal.snapshot(b"small")
    assert [disk.size(name) for name in ("segment-0", "segment-1")] == sizes


def test_files_of_others_in_the_folder_are_left_alone() -> None:
    disk = FakeDisk()
    strangers = ("notes.txt", "segment-", "segment-x", "segment-12345")
    for name in strangers:
        disk.allocate(name, 10)
    journal, snapshot, records = reopened(disk)
    assert (snapshot, records) == (None, [])
    journal.append(1, b"one")
    journal.snapshot(b"state")
    assert reopened(disk)[1] == b"state"
    assert set(strangers) < set(disk.names())


def test_size_and_records_are_those_that_a_start_replays() -> None:
    disk = FakeDisk()
    journal, *_ = reopened(disk)
    journal.snapshot(b"state")
    assert (journal.size, journal.records) == (0, 0)
    journal.append(1, b"one")
    assert journal.records == 1
    journal.commit()
    size = journal.size
    assert size > 3
    journal, *_ = reopened(disk)
    assert (journal.size, journal.records) == (size, 1)


def test_files_that_are_no_journal_are_a_loss_of_unknown_weight(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    for name in ("segment-0", "segment-0-replica"):
        (folder / name).write_bytes(b"rubbish" * 10_000)
    journal, recovered = Journal.open(folder)
    assert list(recovered.records) == [Lost(None)]
    journal.append(1, b"new")
    journal.snapshot(b"state")
    journal.close()
    journal, recovered = Journal.open(folder)
    assert (recovered.snapshot, list(recovered.records)) == (b"state", [])
    journal.close()
