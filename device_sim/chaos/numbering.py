"""Readings whose values identify them in the sum of an aggregate; pure.

Each series is read once every ``period_ms``, at times that are multiples of it; the time divided by the period is the
reading's number n, and its value is ``UNIT * 2^(n mod CYCLE)``. So the readings of any span of up to CYCLE periods are
distinct powers of two, and an aggregate's count and sum together prove that it consists of exactly those:

    Let d(k) be how often the reading at position k is stored, less how often it was sent: at least -1, since none was
    sent twice. Count and sum agree: the d(k) add up to 0, and so do the d(k) 2^k. Carry by carry, d(0) = 2 c(0) and
    d(k) = 2 c(k) - c(k-1), with c(CYCLE-1) = 0. From d(0) >= -1 follows c(0) >= 0, and from d(k) >= -1 and
    c(k-1) >= 0 follows c(k) >= 0. The d(k) add up to what the c(k) add up to, which is 0: so every c(k) is 0, and
    every d(k). Each reading is stored as often as it was sent.

The cloud keeps a mean to a tenth of the resolution, which is 1 here: off by at most 0.05, so a sum of up to 160
readings is off by less than half a UNIT, and rounding restores it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wire.model import IntArray

UNIT = 16
CYCLE = 32
RESOLUTION = 1.0


@dataclass(frozen=True, slots=True)
class Numbering:
    """Reading period of each series and window width of the aggregator, in milliseconds."""

    period_ms: int = 125
    width_ms: int = 1000

    def __post_init__(self) -> None:
        if self.period_ms <= 0 or self.width_ms <= 0 or self.width_ms % self.period_ms:
            raise ValueError(f"a width of {self.width_ms} ms is not a multiple of a period of {self.period_ms} ms")
        if self.width_ms // self.period_ms > CYCLE:
            raise ValueError(f"a window of more than {CYCLE} readings: their values would repeat")

    def number(self, time_ms: int) -> int:
        """Return the number of the reading that is due at or last before a time."""
        return time_ms // self.period_ms

    def time_ms(self, number: int) -> int:
        """Return a reading's event time."""
        return number * self.period_ms

    def value(self, number: int) -> int:
        """Return a reading's value."""
        return int(UNIT << (number % CYCLE))

    def windows(self, numbers: IntArray) -> IntArray:
        """Return the start of the window of each reading."""
        times = numbers * self.period_ms
        return np.asarray(times - times % self.width_ms, np.int64)
