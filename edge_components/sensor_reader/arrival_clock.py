"""Arrival times on a gateway whose clock may not have the time yet. Pure but for its clock."""

from __future__ import annotations

from edge_components.common.ports import Clock
from edge_components.common.wall_clock import is_set

WAIT_SECONDS = 300.0
"""How long after the start a clock is waited for; after that it is used as it is, and that is counted."""


class ArrivalClock:
    """Gives arrival times; an arrival before the clock was set gets its time once it is, by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._began = clock, clock.monotonic()

    @property
    def waiting(self) -> bool:
        """True while the clock does not have the time yet, and may still get it."""
        return not is_set(self._clock.wall_ms()) and self._clock.monotonic() - self._began < WAIT_SECONDS

    def moment_ms(self, wall_ms: int, monotonic: float) -> int | None:
        """Return the time of an arrival from both clocks' values then; None while it cannot be known."""
        if is_set(wall_ms):
            return wall_ms
        if is_set(now_ms := self._clock.wall_ms()):
            return now_ms - round((self._clock.monotonic() - monotonic) * 1000)
        return None if self.waiting else wall_ms
