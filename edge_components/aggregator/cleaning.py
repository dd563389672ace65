"""Selection of usable readings: the rest is dropped, each under the first reason that applies. Pure, columnar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.aggregator.window_types import BoolArray
from edge_components.common.wall_clock import is_set
from wire.limits import MAX_VALUE
from wire.model import ByteArray, FloatArray, IntArray, Quality

END_OF_TIME_MS = 253_402_300_800_000
"""The year 10000: later times do not fit a window's key."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings as columns: ``series_id`` int64[n], ``time_ms`` int64[n], ``value`` float64[n], ``quality`` uint8[n]."""

    series_id: IntArray
    time_ms: IntArray
    value: FloatArray
    quality: ByteArray

    def __len__(self) -> int:
        return len(self.time_ms)

    def keep(self, mask: BoolArray) -> Columns:
        """Return the rows where ``mask`` is true."""
        if bool(mask.all()):
            return self
        return Columns(self.series_id[mask], self.time_ms[mask], self.value[mask], self.quality[mask])


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for usable readings, besides finite values and possible times."""

    max_future_ms: int = 86_400_000
    drop_bad_quality: bool = True
    drop_duplicates: bool = True


class Cleaner:
    """Applies the rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def clean(self, columns: Columns, low: FloatArray, high: FloatArray, now_ms: int) -> tuple[Columns, dict[str, int]]:
        """Return the usable rows, and the number of dropped ones by reason.

        ``low`` and ``high`` give the range of each series id (inclusive); ``now_ms`` is the gateway's clock.
        """
        dropped: dict[str, int] = {}
        value, time_ms, series_id = columns.value, columns.time_ms, columns.series_id
        with np.errstate(invalid="ignore"):
            bad = {
                "not_finite": ~np.isfinite(value),
                "out_of_range": (value < low[series_id]) | (value > high[series_id]) | (np.abs(value) > MAX_VALUE),
                "impossible_time": (time_ms < 0) | (time_ms >= END_OF_TIME_MS),
            }
        if self.rules.drop_bad_quality:
            bad["bad_quality"] = columns.quality >= Quality.BAD
        if is_set(now_ms):
            bad["future"] = time_ms > now_ms + self.rules.max_future_ms
        kept = np.ones(len(columns), np.bool_)
        for reason, mask in bad.items():
            self._drop(reason, mask, kept, dropped)
        return columns.keep(kept), dropped

    @staticmethod
    def _drop(reason: str, mask: BoolArray, kept: BoolArray, dropped: dict[str, int]) -> None:
        count = int(np.count_nonzero(mask & kept))
        if count:
            dropped[reason] = count
            kept &= ~mask
