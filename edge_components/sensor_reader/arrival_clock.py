"""Arrival times on a gateway whose clock may not be set yet. Pure except for its clock."""

from __future__ import annotations

from edge_components.common.ports import Clock
from edge_components.common.wall_clock import is_set

WAIT_SECONDS = 300.0
"""Maximum time after the start to wait for the clock to be set; after that it is used unset, which is counted."""


class ArrivalClock:
    """Source of arrival times; those before the clock was set are derived from the monotonic clock once it is set."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._began = clock, clock.monotonic()

    @property
    def waiting(self) -> bool:
        """True while the clock is not set and may still be set."""
        return not is_set(self._clock.wall_ms()) and self._clock.monotonic() - self._began < WAIT_SECONDS

    def moment_ms(self, wall_ms: int, monotonic: float) -> int | None:
        """Return the wall time of an arrival from both clocks' values at that moment; None while it is unknown."""
        if is_set(wall_ms):
            return wall_ms
        if is_set(now_ms := self._clock.wall_ms()):
            return now_ms - round((self._clock.monotonic() - monotonic) * 1000)
        return None if self.waiting else wall_ms
