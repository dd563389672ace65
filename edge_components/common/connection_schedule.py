"""Schedule of attempts to connect to the nucleus, and of the exit when only a new process can. Pure.

A nucleus restarts a failing component at most three times per hour, so a component exits only if a new process helps:
when the nucleus accepts connections but rejects this process (a new one gets a new token), when the parent process has
ended (a nucleus that restarts starts another one), or when the nucleus was unreachable for a long time (a new process
may get another socket). The time is passed in.
"""

from __future__ import annotations

import random

from edge_components.common.handover import RetryPolicy

RETRY = RetryPolicy(first_s=0.25, longest_s=5.0)
REFUSED_SECONDS = 20.0
UNREACHABLE_SECONDS = 600.0


class ConnectionSchedule:
    """Attempts between the loss of a connection and the next connection; all times are monotonic seconds."""

    def __init__(self, now: float, rng: random.Random) -> None:
        self._rng, self._orphaned = rng, False
        self.lost(now)

    def lost(self, now: float) -> None:
        """Begin at ``now``, when the connection was lost."""
        self._lost_at, self._due, self._failures = now, now, 0
        self._refused_since: float | None = None

    def failed(self, now: float, *, refused: bool) -> None:
        """Record a failed attempt; ``refused`` means that the nucleus is reachable and rejects this process."""
        self._failures += 1
        self._due = now + RETRY.delay(self._failures, self._rng)
        if not refused:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now

    def orphaned(self) -> None:
        """Record that the parent process has ended."""
        self._orphaned = True

    def attempt_due(self, now: float) -> bool:
        """Return whether an attempt is due at ``now``."""
        return now >= self._due

    def next_s(self, now: float) -> float:
        """Return the seconds until the next attempt."""
        return max(0.0, self._due - now)

    def must_exit(self, now: float) -> bool:
        """Return whether this process is to end, so that the nucleus starts another one."""
        if self._orphaned:
            return True
        if self._refused_since is not None and now - self._refused_since >= REFUSED_SECONDS:
            return True
        return now - self._lost_at >= UNREACHABLE_SECONDS
