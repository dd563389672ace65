"""Which readings may be counted: the rest is dropped, each under the first reason that fits. Pure, columnar.

A *place* is the number under which :class:`edge_components.aggregator.directory.Directory` knows a series; state by
series is kept in arrays that places index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.aggregator.recent import Recent
from edge_components.aggregator.window_types import BoolArray
from edge_components.common.wall_clock import is_set
from wire.model import ByteArray, FloatArray, IntArray, Quality

END_OF_TIME_MS = 253_402_300_800_000
"""The year 10000: later times fit no window's key, and no calendar."""

MAX_VALUE = 1e100
"""The square of a larger one, summed, would overflow."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings as columns: ``place`` int64[n], ``time_ms`` int64[n], ``value`` float64[n], ``quality`` uint8[n]."""

    place: IntArray
    time_ms: IntArray
    value: FloatArray
    quality: ByteArray

    def __len__(self) -> int:
        return len(self.time_ms)

    def keep(self, mask: BoolArray) -> Columns:
        """Return the rows where ``mask`` is true."""
        if bool(mask.all()):
            return self
        return Columns(self.place[mask], self.time_ms[mask], self.value[mask], self.quality[mask])


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as usable, beside what is finite and has a possible time."""

    max_future_ms: int = 86_400_000
    drop_bad_quality: bool = True
    drop_duplicates: bool = True


class Cleaner:
    """Applies the rules; ``recent`` remembers what was taken, to know it when it comes again."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.recent = Recent()

    def clean(self, columns: Columns, low: FloatArray, high: FloatArray, now_ms: int) -> tuple[Columns, dict[str, int]]:
        """Return the usable rows, and how many were dropped by reason.

        ``low`` and ``high`` give each place's range (inclusive); ``now_ms`` is the gateway's clock.
        """
        dropped: dict[str, int] = {}
        value, time_ms, place = columns.value, columns.time_ms, columns.place
        with np.errstate(invalid="ignore"):
            bad = {
                "not_finite": ~np.isfinite(value),
                "out_of_range": (value < low[place]) | (value > high[place]) | (np.abs(value) > MAX_VALUE),
                "impossible_time": (time_ms < 0) | (time_ms >= END_OF_TIME_MS),
            }
        if self.rules.drop_bad_quality:
            bad["bad_quality"] = columns.quality >= Quality.BAD
        if is_set(now_ms):
            bad["future"] = time_ms > now_ms + self.rules.max_future_ms
        kept = np.ones(len(columns), np.bool_)
        for reason, mask in bad.items():
            self._drop(reason, mask, kept, dropped)
        columns = columns.keep(kept)
        if self.rules.drop_duplicates and len(columns):
            repeated = self.recent.take(columns.place, columns.time_ms, columns.value)
            if repeated.any():
                dropped["duplicate"] = int(np.count_nonzero(repeated))
                columns = columns.keep(~repeated)
        return columns, dropped

    @staticmethod
    def _drop(reason: str, mask: BoolArray, kept: BoolArray, dropped: dict[str, int]) -> None:
        count = int(np.count_nonzero(mask & kept))
        if count:
            dropped[reason] = count
            kept &= ~mask
