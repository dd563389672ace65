"""Decides when to connect to the nucleus again, and when only a new process can. Pure: the time is passed in.

A nucleus starts a failing component three times an hour at most, so a component exits only when a new process is the
cure: when the nucleus accepts connections but refuses this process (a new one gets a new token), when the process that
started it has ended (a nucleus that comes back starts another), or when there has been no nucleus at all for a long
time (a new process may get another socket).
"""

from __future__ import annotations

import random

from edge_components.common.handover import RetryPolicy

RETRY = RetryPolicy(first_s=0.25, longest_s=5.0)
REFUSED_SECONDS = 20.0
UNREACHABLE_SECONDS = 600.0


class ConnectionSchedule:
    """Attempts to connect, from the loss of a connection to the next; all times are monotonic seconds."""

    def __init__(self, now: float, rng: random.Random) -> None:
        self._rng, self._orphaned = rng, False
        self.lost(now)

    def lost(self, now: float) -> None:
        """Begin: there is no connection."""
        self._lost_at, self._due, self._failures = now, now, 0
        self._refused_since: float | None = None

    def failed(self, now: float, *, refused: bool) -> None:
        """Note a failed attempt; ``refused`` means that the nucleus is there and does not accept this process."""
        self._failures += 1
        self._due = now + RETRY.delay(self._failures, self._rng)
        if not refused:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now

    def orphaned(self) -> None:
        """Note that the process that started this one has ended."""
        self._orphaned = True

    def attempt_due(self, now: float) -> bool:
        """Return whether to try at ``now``."""
        return now >= self._due

    def next_s(self, now: float) -> float:
        """Return the seconds until the next attempt."""
        return max(0.0, self._due - now)

    def hopeless(self, now: float) -> bool:
        """Return whether this process should end so that the nucleus starts another one."""
        if self._orphaned:
            return True
        if self._refused_since is not None and now - self._refused_since >= REFUSED_SECONDS:
            return True
        return now - self._lost_at >= UNREACHABLE_SECONDS
