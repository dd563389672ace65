"""Which readings may be counted: the rest is dropped, each under the first reason that fits. Pure, columnar.

A *place* is the number under which :class:`edge_components.aggregator.directory.Directory` knows a series; state by
series is kept in arrays that places index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_components.common.wall_clock import is_set
from wire.model import ByteArray, FloatArray, IntArray, Quality

END_OF_TIME_MS = 253_402_300_800_000
"""The year 10000: later times fit no window's key, and no calendar."""

MAX_VALUE = 1e100
"""The square of a larger one, summed, would overflow."""

BoolArray = npt.NDArray[np.bool_]


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
    """Applies the rules; remembers each series' newest reading to know it when it comes again."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._last_time = np.zeros(0, np.int64)
        self._last_value = np.zeros(0, np.float64)

    def clean(self, columns: Columns, low: FloatArray, high: FloatArray, now_ms: int) -> tuple[Columns, dict[str, int]]:
        """Return the usable rows, and how many were dropped by reason.

        ``low`` and ``high`` give each place's range (inclusive); ``now_ms`` is the gateway's clock.
        """
        self._grow(len(low))
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
        if self.rules.drop_duplicates and len(columns):
            self._drop("duplicate", self._repeated(columns, kept), kept, dropped)
        columns = columns.keep(kept)
        self._remember(columns)
        return columns, dropped

    @staticmethod
    def _drop(reason: str, mask: BoolArray, kept: BoolArray, dropped: dict[str, int]) -> None:
        count = int(np.count_nonzero(mask & kept))
        if count:
            dropped[reason] = count
            kept &= ~mask

    def _repeated(self, columns: Columns, kept: BoolArray) -> BoolArray:
        """Return which rows repeat another of the same series, time and value: one before them, or the newest known.

        Only the value tells a repetition from two readings within one tick of a sensor's coarse clock.
        """
        place, time_ms, value = columns.place, columns.time_ms, columns.value
        repeated: BoolArray = (self._last_time[place] == time_ms) & (self._last_value[place] == value)
        order = np.lexsort((~kept, value, time_ms, place))
        p, t, v = place[order], time_ms[order], value[order]
        same = (p[1:] == p[:-1]) & (t[1:] == t[:-1]) & (v[1:] == v[:-1]) & kept[order][:-1]
        repeated[order[1:][same]] = True
        return repeated

    def _remember(self, columns: Columns) -> None:
        if not len(columns):
            return
        order = np.lexsort((columns.time_ms, columns.place))
        place = columns.place[order]
        last = np.flatnonzero(np.append(place[1:] != place[:-1], True))
        newest, at = order[last], place[last]
        newer = columns.time_ms[newest] >= self._last_time[at]
        self._last_time[at[newer]] = columns.time_ms[newest[newer]]
        self._last_value[at[newer]] = columns.value[newest[newer]]

    def _grow(self, size: int) -> None:
        missing = size - len(self._last_time)
        if missing > 0:
            self._last_time = np.append(self._last_time, np.full(missing, -1, np.int64))
            self._last_value = np.append(self._last_value, np.full(missing, np.nan))
