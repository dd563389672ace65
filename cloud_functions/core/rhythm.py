"""Rhythm of arrivals of a gateway or series: the time after which it is silent is learned from its own intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

LEARNED = 3
"""Intervals after which a rhythm is known. Before it, nothing is silent: the first interval may be an hour."""
MULTIPLE = 3.0
"""Silence begins after this multiple of the longest recent interval."""
DECAY, GROWTH = 0.95, 1.5
"""Factors by which the longest interval shrinks with each arrival, and grows at most by one that is longer."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The last arrival, the longest recent interval and the number of known intervals."""

    last_ms: int
    longest_ms: float = 0.0
    intervals: int = 0

    def observe(self, arrival_ms: int) -> Rhythm:
        """Return the rhythm after an arrival; one that is not later than the last changes nothing."""
        interval = arrival_ms - self.last_ms
        if interval <= 0:
            return self
        known = self.intervals >= LEARNED
        # A single silence must not stretch what is expected, a lasting change of the rhythm must.
        accepted = min(interval, self.longest_ms * GROWTH) if known else interval
        return Rhythm(arrival_ms, max(accepted, self.longest_ms * DECAY), min(self.intervals + 1, 1_000))

    def silent_from_ms(self, least_ms: int) -> int | None:
        """Return the time from which it is silent, at least ``least_ms`` after the last arrival; None if unknown."""
        if self.intervals < LEARNED:
            return None
        return self.last_ms + max(least_ms, round(MULTIPLE * self.longest_ms))

    def to_list(self) -> list[float]:
        """Return the rhythm as JSON values."""
        return [self.last_ms, round(self.longest_ms), self.intervals]

    @classmethod
    def from_list(cls, values: Sequence[float]) -> Self:
        """Return the rhythm of stored values."""
        return cls(int(values[0]), float(values[1]), int(values[2]))
