"""The checkpoint of version 0.1.0 is imported into the journal once, and then removed.

``data/checkpoint-0.1.0.zip`` was written by that version: batches 1 to 3 of READER are accepted, the window of START
with two readings is in a batch that was sent, and three series' windows are open.
"""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path

import pytest

from edge_components.aggregator import old_checkpoint
from edge_components.common.journal.storage import FileStorage
from tests.unit.aggregator.test_component import READER, START, Rig, readings
from wire import topics
from wire.acknowledgement import Acknowledgement

DATA = Path(__file__).parent / "data" / "checkpoint-0.1.0.zip"
EPOCH = 1782579200000140891
EXPECTED = {START: 3, START + 3000: 4}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    with zipfile.ZipFile(DATA) as files:
        files.extractall(tmp_path)
    return tmp_path


def counts(rig: Rig) -> dict[int, int]:
    """Readings by window start over all series; each batch once by its name."""
    found: dict[int, int] = {}
    for rows in rig.batches().values():
        for start, count in zip(rows.start_ms.tolist(), rows.count.tolist(), strict=True):
            found[start] = found.get(start, 0) + count
    return {start: count for start, count in found.items() if count}


def test_windows_batches_and_numbers_are_imported_and_the_files_are_removed(work: Path) -> None:
    rig = Rig(work)
    rig.tick()
    assert not list(work.glob("checkpoint*"))
    rig.offer(2, readings([START + 3100, START + 3200], [4.0, 5.0]))
    rig.tick()
    assert rig.acks()[-1] == Acknowledgement(READER, 3)
    assert rig.runtime.counters["batches_repeated"] == 1
    rig.kill()
    rig.boot()
    rig.run_out()
    assert counts(rig) == EXPECTED
    assert {epoch for epoch, _ in rig.batches()} == {EPOCH}
    rig.kill()


def test_a_reading_accepted_by_the_old_version_is_recognised_as_a_duplicate(work: Path) -> None:
    rig = Rig(work)
    rig.offer(4, readings([START + 3000, START + 3100, START, START + 3900], [3.0, 4.0, 1.0, 9.0]))
    rig.run_out()
    assert rig.runtime.counters["rejected_duplicate"] == 3
    assert rig.runtime.counters["rejected_late"] == 0
    rig.kill()


@pytest.mark.parametrize("damaged", ["checkpoint.sqlite3", "checkpoint.sqlite3-copy"])
def test_one_damaged_file_costs_nothing(work: Path, damaged: str) -> None:
    (work / damaged).write_bytes(b"rubbish" * 1000)
    rig = Rig(work)
    rig.run_out()
    assert counts(rig) == EXPECTED
    assert rig.runtime.counters["journal_lost"] == 0
    rig.kill()


def test_both_damaged_are_a_loss_whose_number_is_known(work: Path) -> None:
    (work / "checkpoint.sqlite3").write_bytes(b"rubbish" * 1000)
    data = bytearray((work / "checkpoint.sqlite3-copy").read_bytes())
    data[-1] ^= 1
    (work / "checkpoint.sqlite3-copy").write_bytes(data)
    rig = Rig(work)
    rig.tick()
    assert rig.runtime.counters["dropped_readings"] == 7
    assert not old_checkpoint.exists(work)
    rig.kill()


def test_the_checkpoint_is_kept_until_the_journal_has_its_state(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(FileStorage, "sync", refuse)
    rig = Rig(work)
    rig.offer(4, readings([START + 3950], [9.0]))
    rig.run_out()
    assert rig.acks() == []
    assert rig.bus.on(topics.AGGREGATES) == []
    assert old_checkpoint.exists(work)
    rig.kill()
    monkeypatch.undo()
    rig.boot()
    rig.offer(4, readings([START + 3950], [9.0]))
    rig.run_out()
    assert counts(rig) == EXPECTED | {START + 3000: 5}
    rig.kill()


def test_a_checkpoint_beside_a_journal_is_left_over_and_is_removed(work: Path) -> None:
    rig = Rig(work)
    rig.tick()
    rig.kill()
    with zipfile.ZipFile(DATA) as files:
        files.extractall(work)
    rig.boot()
    rig.run_out()
    assert counts(rig) == EXPECTED
    assert not old_checkpoint.exists(work)
    rig.kill()
