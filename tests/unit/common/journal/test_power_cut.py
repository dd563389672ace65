"""A power cut at every byte of every write, and a kill between any two operations, lose nothing that was committed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_components.common.journal import Journal, Record
from tests.examples import some_slow
from tests.unit.common.journal.disk import FakeDisk

FOLDER = Path("journal")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments grow by little, so that a run allocates often and its images are quick to read."""
    monkeypatch.setattr("edge_components.common.journal.journal.CHUNK_BYTES", 512)


Writes = dict[str, list[tuple[int, bytes]]]


@dataclass
class History:
    """A run: the operations of the disk, and the number of operations after which each state was committed."""

    disk: FakeDisk = field(default_factory=FakeDisk)
    promised: list[tuple[int, list[bytes]]] = field(default_factory=lambda: [(0, [])])
    begun: list[list[bytes]] = field(default_factory=lambda: [[]])


def a_run(seed: int, steps: int) -> History:
    """Return a run of commits and snapshots; the state is the list of all bodies so far."""
    chance, history = random.Random(seed), History()
    journal, _ = Journal.open(FOLDER, history.disk)
    state: list[bytes] = []
    for _ in range(steps):
        for _ in range(chance.randint(1, 3)):
            body = chance.randbytes(chance.randint(1, 24))
            journal.append(1, body)
            state = [*state, body]
        history.begun.append(state)
        if chance.random() < 0.3:
            journal.snapshot(b"|".join(body.hex().encode() for body in state))
        else:
            journal.commit()
        history.promised.append((len(history.disk.operations), state))
    return history


def replayed(disk: FakeDisk) -> list[bytes]:
    _, recovered = Journal.open(FOLDER, disk)
    assert not recovered.lost, list(recovered.records)
    state = [bytes.fromhex(part.decode()) for part in recovered.snapshot.split(b"|")] if recovered.snapshot else []
    state += [record.body for record in recovered.records if isinstance(record, Record)]
    return state


def assert_continues(disk: FakeDisk) -> None:
    before = replayed(disk)
    journal, _ = Journal.open(FOLDER, disk)
    journal.append(1, b"more")
    journal.commit()
    assert replayed(disk.cut({})) == [*before, b"more"]


def cuts(operations: list[tuple[str, str, int, bytes]]) -> Iterator[tuple[int, FakeDisk]]:
    """Yield what the disk may hold at each moment, with how many operations were complete by then."""
    disk = FakeDisk()
    for done, (operation, name, offset, data) in enumerate(operations):
        if operation == "allocate":
            disk.allocate(name, offset)
        elif operation == "sync":
            for keep in ({}, disk.unsynced, _only_main(disk.unsynced), _only_replicas(disk.unsynced)):
                yield done, disk.cut(keep)
            disk.sync(name)
        elif operation == "write":
            for torn in range(len(data) + 1):
                yield done, disk.cut({name: [(offset, data[:torn])]})
                yield done, disk.cut({name: [(offset + torn, data[torn:])]})
                yield done, disk.cut(_with(disk.unsynced, name, offset, data[:torn]))
            disk.write(name, offset, data)
            yield done + 1, disk.killed()
    yield len(operations), disk.cut({})


def _with(unsynced: Writes, name: str, offset: int, data: bytes) -> Writes:
    return unsynced | {name: [*unsynced.get(name, []), (offset, data)]}


def _only_main(unsynced: Writes) -> Writes:
    return {name: writes for name, writes in unsynced.items() if not name.endswith("-replica")}


def _only_replicas(unsynced: Writes) -> Writes:
    return {name: writes for name, writes in unsynced.items() if name.endswith("-replica")}


@pytest.mark.parametrize("seed", some_slow([2, 0, 1], fast=1))
def test_state_after_a_power_cut_is_the_acknowledged_one_or_the_next(seed: int) -> None:
    history = a_run(seed, 7)
    for seen, (done, disk) in enumerate(cuts(history.disk.operations)):
        held = max(number for number, (operations, _) in enumerate(history.promised) if operations <= done)
        assert replayed(disk) in [history.begun[held], *history.begun[held + 1 : held + 2]]
        if seen % 7 == 0:
            assert_continues(disk)
    assert seen > 1000


@pytest.mark.slow
def test_a_second_cut_during_the_first_commit_after_a_restart_costs_nothing() -> None:
    history = a_run(3, 4)
    for done, disk in list(cuts(history.disk.operations))[::41]:
        before = replayed(disk)
        start = {name: bytes(data) for name, data in disk.cached.items()}
        held = max(number for number, (operations, _) in enumerate(history.promised) if operations <= done)
        # A frame whose commit was cut may become whole again where the new one begins with the same bytes.
        allowed = [before, [*before, b"next"], *history.begun[held + 1 : held + 2]]
        journal, _ = Journal.open(FOLDER, disk)
        disk.operations.clear()
        journal.append(1, b"next")
        journal.commit()
        for again in _later_cuts(start, disk.operations):
            assert replayed(again) in allowed


def _later_cuts(start: dict[str, bytes], operations: list[tuple[str, str, int, bytes]]) -> Iterator[FakeDisk]:
    disk = FakeDisk()
    for name, data in start.items():
        disk.allocate(name, len(data))
        disk.write(name, 0, data)
        disk.sync(name)
    for operation, name, offset, data in operations:
        if operation == "write":
            for torn in range(0, len(data) + 1, 3):
                yield disk.cut(_with(disk.unsynced, name, offset, data[:torn]))
            disk.write(name, offset, data)
        elif operation == "sync":
            yield disk.cut({})
            disk.sync(name)
        else:
            disk.allocate(name, offset)
