"""When something arrived, by a gateway whose clock may not have the time yet. Pure but for its clock."""

from __future__ import annotations

from edge_components.common.ports import Clock
from edge_components.common.wall_clock import is_set

WAIT_SECONDS = 300.0
"""How long after the start a clock is waited for. One that never gets the time is taken as it is then, and counted."""


class ArrivalClock:
    """Tells arrival times; what came before the clock was set gets its time when it is, by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._began = clock, clock.monotonic()

    @property
    def waiting(self) -> bool:
        """Whether the clock has not got the time and may yet get it."""
        return not is_set(self._clock.wall_ms()) and self._clock.monotonic() - self._began < WAIT_SECONDS

    def moment_ms(self, wall_ms: int, monotonic: float) -> int | None:
        """Return when something came, of which both clocks then told the time; None while that cannot be told."""
        if is_set(wall_ms):
            return wall_ms
        if is_set(now_ms := self._clock.wall_ms()):
            return now_ms - round((self._clock.monotonic() - monotonic) * 1000)
        return None if self.waiting else wall_ms
