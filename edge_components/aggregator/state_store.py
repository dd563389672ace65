"""The aggregator's state on the disk: commits operations to the journal, and folds them into a snapshot rarely.

Readings are acknowledged only while :attr:`StateStore.durable` is True, and batches sent only while
:attr:`StateStore.sendable` is: killing the aggregator at any moment then loses nothing and counts nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_components.aggregator import snapshot
from edge_components.aggregator.snapshot import Sent
from edge_components.aggregator.state import State
from edge_components.common.journal import CommitPolicy, Journal, JournalError

RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """Limits of the journal beyond which it is folded into a snapshot: its size, and the time of a replay."""

    min_bytes: int = 1_000_000
    times: int = 8
    max_records: int = 10_000
    max_readings: int = 4_000_000

    def due(self, size: int, snapshot_size: int, records: int, readings: int) -> bool:
        """Return whether a journal of this size after a snapshot of that size is due to be folded."""
        large = size >= max(self.min_bytes, self.times * snapshot_size)
        return large or records >= self.max_records or readings >= self.max_readings


class StateStore:
    """Commits when a sender is blocked, enough bytes wait or enough time passed, and at once for a batch to send."""

    def __init__(
        self,
        journal: Journal,
        state: State,
        sent: Callable[[], Sent],
        log: logging.Logger,
        *,
        replayed_readings: int = 0,
        folded: Callable[[], None] | None = None,
    ) -> None:
        """``folded``: given if the journal needs a snapshot before it continues; called after the snapshot."""
        self.policy = CommitPolicy()
        self.failures = 0
        self._journal, self._state, self._sent, self._log = journal, state, sent, log
        self._snapshots, self._readings, self._folded = SnapshotPolicy(), replayed_readings, folded
        self._oldest: float | None = None
        self._retry_at: float | None = None
        self._received_bytes = 0

    @property
    def durable(self) -> bool:
        """True while every accepted batch is on the disk and may be acknowledged."""
        return self._journal.durable and not self._state.log.waiting and self._folded is None

    @property
    def sendable(self) -> bool:
        """True while every batch to send is on the disk."""
        return self._journal.durable and not self._state.log.emitted and self._folded is None

    @property
    def waiting_bytes(self) -> int:
        """Bytes received and not committed."""
        return self._received_bytes

    def received(self, size: int, now: float) -> None:
        """Count a received payload towards the next commit."""
        self._received_bytes += size
        if self._oldest is None:
            self._oldest = now

    def commit_if_due(self, now: float, *, blocked: bool) -> bool:
        """Commit if that is due; return False if it failed or is delayed after a failure."""
        if self._retry_at is not None and now < self._retry_at:
            return False
        if self._retry_at is None and not self._due(now, blocked):
            return True
        return self.commit(now)

    def commit(self, now: float) -> bool:
        """Commit and return whether it succeeded; after a failure nothing is lost, and the commit is retried."""
        try:
            if self._folded is not None:
                self._fold()
            else:
                if self._state.log.changed:
                    self._readings += self._state.log.readings
                    for entry in self._state.log.take():
                        self._journal.append(entry.kind, entry.body, entry.weight)
                self._journal.commit()
        except JournalError as error:
            if not self.failures:
                self._log.error("nothing is acknowledged or sent until the journal can be written: %s", error)
            self.failures += 1
            self._retry_at = now + RETRY_SECONDS
            return False
        self.failures = 0
        self._oldest = self._retry_at = None
        self._received_bytes = 0
        journal = self._journal
        if self._snapshots.due(journal.size, journal.snapshot_size, journal.records, self._readings):
            self.fold()
        return True

    def fold(self) -> None:
        """Replace the journal by a snapshot; if the write fails, the journal is continued."""
        if not self._journal.records or not self.durable:
            return
        try:
            self._fold()
        except JournalError as error:
            self._log.warning("the journal cannot be folded into a snapshot and is continued: %s", error)

    def _fold(self) -> None:
        self._state.clean_up()
        self._journal.snapshot(snapshot.encode(self._state, self._sent()), self._state.held_readings)
        self._state.log.take()  # the snapshot includes them
        self._readings = 0
        if self._folded is not None:
            folded, self._folded = self._folded, None
            folded()

    def wait_s(self, now: float) -> float | None:
        """Return the seconds until a commit is due by time, None when there is nothing to commit."""
        if self._retry_at is not None:
            return max(0.0, self._retry_at - now)
        return self.policy.wait_s(now, self._oldest)

    def close(self) -> None:
        """Close the files."""
        self._journal.close()

    def _due(self, now: float, blocked: bool) -> bool:
        log = self._state.log
        if log.emitted or self._folded is not None or not self._journal.durable:
            return True
        return self.policy.due(now, self._oldest if log.waiting else None, self._received_bytes, blocked)
