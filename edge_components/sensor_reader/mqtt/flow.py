"""Whether a broker is blocked: it lets only so many publications be unacknowledged, and then sends nothing. Pure.

The configured window may be larger than the broker's own. So a pause while publications are unacknowledged is tried
once as a blocked broker: when acknowledging makes it send at once, its window is as large as the number that waited;
otherwise a pause at that number or below means nothing from then on.
"""

from __future__ import annotations

PAUSE_S = 0.25
"""A broker that sends nothing for so long, while it waits for acknowledgements, may be blocked."""

ANSWER_S = 0.1
"""A blocked broker sends within this time after an acknowledgement (on the gateway or its network)."""


class FlowMonitor:
    """The number of unacknowledged publications of one connection, and the window that blocks the broker."""

    def __init__(self, window: int) -> None:
        self._configured = self._window = window
        self._unacknowledged = self._harmless = self._tried = self._candidate = 0
        self._last = float("-inf")
        self._answer_by = float("-inf")

    @property
    def room(self) -> int:
        """How many more publications the broker can send before it is blocked."""
        return max(0, self._window - self._unacknowledged)

    def reset(self) -> None:
        """Begin a new connection, on which nothing is unacknowledged."""
        self.__init__(self._configured)  # type: ignore[misc]

    def received(self, count: int, now: float) -> None:
        """Note publications that are to be acknowledged."""
        self._unacknowledged += count
        self._last = now
        if self._unacknowledged > self._window:  # the broker was not blocked there
            self._window = self._configured
            self._harmless = max(self._harmless, self._unacknowledged - 1)
        elif now <= self._answer_by:
            self._window = min(self._window, self._candidate)
        self._answer_by = float("-inf")

    def acknowledged(self, count: int, now: float) -> None:
        """Note acknowledgements that were sent."""
        self._unacknowledged -= count
        if self._tried:
            self._candidate, self._tried = self._tried, 0
            self._harmless = max(self._harmless, self._candidate)
            self._answer_by = now + ANSWER_S

    def blocked(self, now: float) -> bool:
        """Return whether the broker waits for acknowledgements, as far as can be known."""
        if self._unacknowledged >= self._window:
            return True
        if self._unacknowledged > self._harmless and now - self._last >= PAUSE_S:
            self._tried = self._unacknowledged
        return self._tried > 0

    def next_check_s(self, now: float) -> float | None:
        """Return the seconds after which :meth:`blocked` may change by itself, None for never."""
        if self._tried or self._unacknowledged <= self._harmless or self.room == 0:
            return None
        return max(0.0, self._last + PAUSE_S - now)
