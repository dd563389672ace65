"""Detection of a blocked broker, which has reached its limit of unacknowledged publications. Pure.

The broker's in-flight window may be smaller than the configured one. So a pause while publications are unacknowledged
is tested once by acknowledging them. If the broker then sends immediately, the number of unacknowledged publications is
used as its window for a while; otherwise pauses at that number or below are ignored.
"""

from __future__ import annotations

PAUSE_S = 0.3
"""Pause in seconds, with unacknowledged publications, after which a broker may be blocked."""

USUAL_GAPS = 2.5
"""Minimum pause as a multiple of the usual gap between arrivals."""

FIRST_GAP_S = 0.2
_GAP_WEIGHT = 0.3

ANSWER_S = 0.1
"""A blocked broker sends within this time after an acknowledgement (on the gateway or its network)."""

SURE_COUNT = 10
"""Number of publications before a pause from which one observation is sufficient; with fewer it must occur twice."""

LEARNED_S = 60.0
"""Time for which a detected window is used: it may have been a coincidence, or the broker's limit may change."""


class FlowMonitor:
    """The number of unacknowledged publications of one connection, and the window that blocks the broker."""

    def __init__(self, window: int) -> None:
        self._configured = self._window = window
        self._unacknowledged = self._harmless = self._tried = self._candidate = self._seen = 0
        self._last = self._answer_by = self._learned_until = float("-inf")
        self._gap, self._gap_counts = FIRST_GAP_S, False

    @property
    def room(self) -> int:
        """The number of publications that the broker can still send before it is blocked."""
        return max(0, self._window - self._unacknowledged)

    @property
    def _pause_s(self) -> float:
        return max(PAUSE_S, USUAL_GAPS * self._gap)

    def reset(self) -> None:
        """Reset for a new connection without unacknowledged publications."""
        self.__init__(self._configured)  # type: ignore[misc]

    def received(self, count: int, now: float) -> None:
        """Record received publications that must be acknowledged."""
        self._unacknowledged += count
        if self._gap_counts or 0 < self._candidate < SURE_COUNT:  # not a gap that an acknowledgement may have ended
            self._gap += _GAP_WEIGHT * (now - self._last - self._gap)
        self._last, self._gap_counts = now, True
        if self._candidate:
            self._evaluate_pause(self._candidate, now <= self._answer_by, now)
            self._candidate = 0

    def acknowledged(self, count: int, now: float) -> None:
        """Record sent acknowledgements."""
        self._unacknowledged -= count
        self._gap_counts = False
        if self._tried:
            self._candidate, self._tried = self._tried, 0
            self._answer_by = now + ANSWER_S

    def blocked(self, now: float) -> bool:
        """Return whether the broker is probably blocked by missing acknowledgements."""
        if self._window < self._configured and now > self._learned_until:
            self._window = self._configured
        if self._unacknowledged >= self._window:
            return True
        if self._unacknowledged > self._harmless and now - self._last >= self._pause_s:
            self._tried = self._unacknowledged
        return self._tried > 0

    def next_check_s(self, now: float) -> float | None:
        """Return the seconds until the result of :meth:`blocked` may change without an event, None for never."""
        if self._tried or self._unacknowledged <= self._harmless or self.room == 0:
            return None
        return max(0.0, self._last + self._pause_s - now)

    def _evaluate_pause(self, count: int, answered: bool, now: float) -> None:
        """Evaluate a pause at ``count`` unacknowledged publications, after which the broker sent immediately or not."""
        if answered and (count >= SURE_COUNT or count == self._seen):
            self._window = min(self._window, count)
            self._learned_until = now + LEARNED_S
        elif not answered:
            self._harmless = max(self._harmless, count)
        self._seen = count if answered else 0
