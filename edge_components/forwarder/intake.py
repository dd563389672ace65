"""Received batches that wait to be stored together: one commit costs the flash a page or two, however much is in it.

Pure. A batch waits ``commit_ms`` at most. Anomalies do not wait, nor does a sender that has half of its window waiting
here: it would stop sending until it is answered.
"""

from __future__ import annotations

from edge_components.common.journal import CommitPolicy
from edge_components.forwarder.batching import Waiting
from edge_components.forwarder.spool.entries import ReceivedBatch
from wire.topics import Lane

BLOCKED_BATCHES = 16
"""Half of the batches that a sender has in flight at most."""


class Intake:
    """Batches by sender's epoch and sequence, until they are stored."""

    def __init__(self) -> None:
        self._staged: dict[tuple[int, int], tuple[ReceivedBatch, Waiting]] = {}
        self._oldest: float | None = None
        self._bytes = 0
        self._urgent = False

    def __contains__(self, name: tuple[int, int]) -> bool:
        return name in self._staged

    def add(self, arrival: ReceivedBatch, rows: Waiting, now: float) -> None:
        """Stage a batch at ``now`` (monotonic seconds)."""
        self._staged[arrival.epoch, arrival.sequence] = (arrival, rows)
        self._oldest = now if self._oldest is None else self._oldest
        self._bytes += len(arrival.payload)
        self._urgent |= arrival.lane is Lane.URGENT

    def due(self, now: float, policy: CommitPolicy) -> bool:
        """Return whether to store what is staged at ``now``."""
        blocked = self._urgent or len(self._staged) >= BLOCKED_BATCHES
        return policy.due(now, self._oldest, self._bytes, blocked)

    def wait_s(self, now: float, policy: CommitPolicy) -> float:
        """Return the seconds until time alone makes it due; infinite when nothing is staged."""
        wait_s = policy.wait_s(now, self._oldest)
        return float("inf") if wait_s is None else wait_s

    def take(self) -> list[tuple[ReceivedBatch, Waiting]]:
        """Return what is staged, in the order of arrival, and forget it."""
        staged = list(self._staged.values())
        self._staged, self._oldest, self._bytes, self._urgent = {}, None, 0, False
        return staged
