"""Received batches that wait for the next commit, which stores them together: a commit costs a page or two of flash.

A batch waits ``commit_ms`` at most. Anomalies do not wait, nor does a sender of which half of the in-flight window
waits here: it would stop sending until it receives an acknowledgement. Pure.
"""

from __future__ import annotations

from edge_components.common.journal import CommitPolicy
from edge_components.forwarder.batching import Waiting
from edge_components.forwarder.spool.entries import ReceivedBatch
from wire.topics import Lane

BLOCKED_BATCHES = 16
"""Half of a sender's in-flight window."""


class Intake:
    """Batches to be stored, by sender's epoch and sequence number."""

    def __init__(self) -> None:
        self._staged: dict[tuple[int, int], tuple[ReceivedBatch, Waiting | None]] = {}
        self._oldest: float | None = None
        self._bytes = 0
        self._urgent = False

    def __contains__(self, name: tuple[int, int]) -> bool:
        return name in self._staged

    def add(self, arrival: ReceivedBatch, rows: Waiting | None, now: float) -> None:
        """Stage a batch at ``now`` (monotonic seconds); ``rows`` is None for an unusable one."""
        self._staged[arrival.epoch, arrival.sequence] = (arrival, rows)
        self._oldest = now if self._oldest is None else self._oldest
        self._bytes += len(arrival.payload)
        self._urgent |= arrival.lane is Lane.URGENT

    def due(self, now: float, policy: CommitPolicy) -> bool:
        """Return whether the staged batches are to be stored at ``now``."""
        blocked = self._urgent or len(self._staged) >= BLOCKED_BATCHES
        return policy.due(now, self._oldest, self._bytes, blocked)

    def wait_s(self, now: float, policy: CommitPolicy) -> float:
        """Return the seconds until the oldest batch is due by its age; infinite if no batch is staged."""
        wait_s = policy.wait_s(now, self._oldest)
        return float("inf") if wait_s is None else wait_s

    def take(self) -> list[tuple[ReceivedBatch, Waiting | None]]:
        """Remove and return the staged batches in the order of arrival."""
        staged = list(self._staged.values())
        self._staged, self._oldest, self._bytes, self._urgent = {}, None, 0, False
        return staged
