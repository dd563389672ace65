"""The state is committed when that is due, is durable and sendable only then, and is folded rarely."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_components.aggregator.cleaning import Columns
from edge_components.aggregator.operations import Batch, Kind, OperationLog
from edge_components.aggregator.series_table import SeriesTable
from edge_components.aggregator.snapshot import Sent
from edge_components.aggregator.state import State
from edge_components.aggregator.state_store import RETRY_SECONDS, SnapshotPolicy, StateStore
from edge_components.aggregator.window_types import WindowSettings
from edge_components.common.journal import CommitPolicy, Journal
from tests.unit.common.journal.disk import FakeDisk
from wire.model import Series

LOG = logging.getLogger("test")


class Bench:
    """A store of a state with one series, on a fake disk."""

    def __init__(self, folded: Callable[[], None] | None = None) -> None:
        self.disk = FakeDisk()
        self.journal, _ = Journal.open(Path("journal"), self.disk)
        self.state = State(SeriesTable({}, 10), WindowSettings(), OperationLog())
        self.store = StateStore(self.journal, self.state, Sent, LOG, folded=folded)
        self.store.policy = CommitPolicy(commit_s=5.0, max_bytes=1_000)
        _, assigned = self.state.registry.resolve((Series("pump"),), lambda: np.zeros(0, np.bool_))
        for assignment in assigned:
            self.state.assign(assignment)
        self.sequence = 0

    def receive(self, count: int = 1, size: int = 100, now: float = 0.0) -> None:
        self.sequence += 1
        times = np.arange(count, dtype=np.int64) + 1_700_000_000_000 + 1_000 * self.sequence
        columns = Columns(np.zeros(count, np.int64), times, np.ones(count), np.zeros(count, np.uint8))
        self.state.accept(Batch(1, self.sequence, int(times[0]), 0, False), columns)
        self.store.received(size, now)

    @property
    def writes(self) -> int:
        return sum(operation == "write" for operation, *_ in self.disk.operations)


@pytest.mark.parametrize(
    ("size", "snapshot_size", "records", "readings", "due"),
    [
        (999_999, 0, 1, 1, False),
        (1_000_000, 0, 1, 1, True),
        (1_000_000, 125_000, 1, 1, True),
        (1_000_000, 125_001, 1, 1, False),
        (8_000_000, 1_000_000, 1, 1, True),
        (1, 0, 9_999, 1, False),
        (1, 0, 10_000, 1, True),
        (1, 0, 1, 3_999_999, False),
        (1, 0, 1, 4_000_000, True),
    ],
)
def test_a_snapshot_is_due_by_size_records_or_readings(
    size: int, snapshot_size: int, records: int, readings: int, due: bool
) -> None:
    assert SnapshotPolicy().due(size, snapshot_size, records, readings) is due


def test_readings_are_durable_after_a_commit_by_time_and_nothing_is_written_before() -> None:
    bench = Bench()
    bench.receive(now=0.0)
    assert not bench.store.durable
    assert bench.store.sendable
    assert bench.store.wait_s(1.0) == 4.0
    assert bench.store.commit_if_due(4.9, blocked=False)
    assert bench.writes == 0
    assert bench.store.commit_if_due(5.0, blocked=False)
    assert bench.store.durable
    assert bench.writes == 2  # main file and replica
    assert bench.store.wait_s(5.0) is None


@pytest.mark.parametrize(("size", "blocked"), [(1_000, False), (1, True)])
def test_enough_bytes_or_a_blocked_sender_cause_a_commit_at_once(size: int, blocked: bool) -> None:
    bench = Bench()
    bench.receive(size=size)
    assert bench.store.waiting_bytes == size
    bench.store.commit_if_due(0.0, blocked=blocked)
    assert bench.store.durable
    assert bench.store.waiting_bytes == 0


def test_the_time_of_a_commit_counts_from_the_first_payload_after_the_previous_one() -> None:
    bench = Bench()
    bench.receive(now=0.0)
    bench.receive(now=3.0)
    assert bench.store.wait_s(3.0) == 2.0
    bench.store.commit_if_due(5.0, blocked=False)
    bench.receive(now=20.0)
    assert bench.store.wait_s(21.0) == 4.0


def test_a_batch_to_send_is_committed_at_once() -> None:
    bench = Bench()
    bench.state.log.add(Kind.EMITTED, b"")
    assert not bench.store.sendable
    bench.store.commit_if_due(0.0, blocked=False)
    assert bench.store.sendable


def test_nothing_is_durable_while_the_disk_fails_and_the_commit_is_retried_after_a_second() -> None:
    bench = Bench()
    bench.receive()
    bench.disk.refusing = errno.ENOSPC
    assert not bench.store.commit(0.0)
    assert (bench.store.failures, bench.store.durable, bench.store.sendable) == (1, False, False)
    assert bench.store.wait_s(0.25) == RETRY_SECONDS - 0.25
    assert not bench.store.commit_if_due(0.9, blocked=True)
    assert bench.store.failures == 1
    assert not bench.store.commit_if_due(1.0, blocked=False)
    assert bench.store.failures == 2
    bench.disk.refusing = None
    assert bench.store.commit_if_due(2.0, blocked=False)
    assert (bench.store.failures, bench.store.durable, bench.store.sendable) == (0, True, True)
    assert bench.store.wait_s(2.0) is None


def test_a_fold_replaces_the_records_by_a_snapshot_and_is_not_repeated_without_new_ones() -> None:
    bench = Bench()
    bench.receive()
    bench.store.commit(0.0)
    bench.store.fold()
    assert (bench.journal.records, bench.journal.size) == (0, 0)
    assert bench.journal.snapshot_size > 0
    writes = bench.writes
    bench.store.fold()
    assert bench.store.commit(1.0)
    assert bench.writes == writes


def test_uncommitted_readings_are_not_folded() -> None:
    bench = Bench()
    bench.receive()
    bench.store.commit(0.0)
    bench.receive()
    bench.store.fold()
    assert bench.journal.snapshot_size == 0


def test_the_journal_is_folded_when_it_has_enough_readings() -> None:
    bench = Bench()
    bench.store._snapshots = SnapshotPolicy(max_readings=10)
    bench.receive(count=6)
    bench.store.commit(0.0)
    assert bench.journal.records > 0
    bench.receive(count=4)
    bench.store.commit(1.0)
    assert bench.journal.records == 0
    bench.receive(count=6)
    bench.store.commit(2.0)
    assert bench.journal.records > 0, "the readings before the snapshot do not count"


def test_a_fold_that_fails_is_logged_and_the_journal_is_continued(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.receive()
    bench.store.commit(0.0)
    bench.disk.refusing = errno.ENOSPC
    bench.store.fold()
    assert "cannot be folded" in caplog.text
    bench.disk.refusing = None
    bench.receive()
    assert bench.store.commit(1.0)
    _, recovered = Journal.open(Path("journal"), bench.disk.killed())
    assert recovered.snapshot is None
    assert len(recovered.records) == bench.journal.records


def test_a_journal_that_needs_a_snapshot_first_is_durable_after_it_and_calls_back_once() -> None:
    calls: list[str] = []
    bench = Bench(lambda: calls.append("folded"))
    assert (bench.store.durable, bench.store.sendable) == (False, False)
    bench.disk.refusing = errno.ENOSPC
    assert not bench.store.commit_if_due(0.0, blocked=False)
    assert calls == []
    bench.disk.refusing = None
    assert bench.store.commit_if_due(1.0, blocked=False)
    assert calls == ["folded"]
    assert (bench.store.durable, bench.store.sendable) == (True, True)
    bench.receive()
    bench.store.commit(2.0)
    bench.store.fold()
    assert calls == ["folded"]
