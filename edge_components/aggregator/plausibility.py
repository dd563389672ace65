"""Comparison of a reading with the previous one: rate of change and stuck values. Pure, columnar.

The state is not kept over a restart: the first reading of a series is always plausible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.aggregator.window_types import NEVER, BoolArray
from wire.model import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """Limits of each series, by series id."""

    max_rate: FloatArray
    """Greatest change in units per second, infinite for any."""
    stuck_ms: FloatArray
    """Milliseconds after which an unchanged value is stuck, infinite for never."""


class PlausibilityChecks:
    """Last plausible reading of each series, and the time since which its value is unchanged."""

    def __init__(self) -> None:
        self._time = np.zeros(0, np.int64)
        self._value = np.zeros(0)
        self._since = np.zeros(0, np.int64)

    def reset(self, series_id: int) -> None:
        """Remove a series whose id is reused."""
        if series_id < len(self._time):
            self._time[series_id] = NEVER

    def check(
        self, series_id: IntArray, time_ms: IntArray, value: FloatArray, limits: SeriesLimits
    ) -> tuple[BoolArray, BoolArray]:
        """Return a mask of the readings that changed too fast, and of those with a stuck value.

        Values are finite. Late readings, which are older than the last one of their series, are not checked.
        """
        too_fast, stuck = np.zeros(len(value), np.bool_), np.zeros(len(value), np.bool_)
        checked = np.isfinite(limits.max_rate) | np.isfinite(limits.stuck_ms)
        if not checked.any():
            return too_fast, stuck
        self._grow(len(checked))
        rows = np.flatnonzero(checked[series_id] & (time_ms >= self._time[series_id]))
        rows = rows[np.lexsort((time_ms[rows], series_id[rows]))]
        if not len(rows):
            return too_fast, stuck
        ids, times, values = series_id[rows], time_ms[rows], value[rows]
        fast = self._too_fast(ids, times, values, limits.max_rate)
        too_fast[rows] = fast
        kept = ~fast
        if kept.any():
            stuck[rows[kept]] = self._stuck(ids[kept], times[kept], values[kept], limits.stuck_ms)
        return too_fast, stuck

    def _too_fast(self, ids: IntArray, times: IntArray, values: FloatArray, max_rate: FloatArray) -> BoolArray:
        first = np.append(True, ids[1:] != ids[:-1])
        before_time = np.where(first, self._time[ids], np.roll(times, 1))
        before_value = np.where(first, self._value[ids], np.roll(values, 1))
        fast = _exceeds(values - before_value, times - before_time, max_rate[ids]) & (before_time > NEVER)
        if not fast.any():
            return fast
        # A reading is compared with the last plausible one: one by one for the few series that have an implausible one.
        for at in np.flatnonzero(np.isin(ids, np.unique(ids[fast]))).tolist():
            number = ids[at]
            if first[at]:
                time, reference = int(self._time[number]), float(self._value[number])
            limit = max_rate[number] * max(int(times[at]) - time, 1) / 1000
            fast[at] = time > NEVER and abs(float(values[at]) - reference) > limit
            if not fast[at]:
                time, reference = int(times[at]), float(values[at])
        return fast

    def _stuck(self, ids: IntArray, times: IntArray, values: FloatArray, stuck_ms: FloatArray) -> BoolArray:
        """Return a mask of stuck readings, and take these readings over as the last ones."""
        first = np.append(True, ids[1:] != ids[:-1])
        before = np.where(first, self._value[ids], np.roll(values, 1))
        known = ~first | (self._time[ids] > NEVER)
        changed = (values != before) | ~known
        # The time of the last change: of this batch, or of an earlier one.
        since = np.where(changed, times, np.where(first, self._since[ids], NEVER))
        position = np.maximum.accumulate(np.where(changed | first, np.arange(len(ids)), 0))
        since = since[position]
        last = np.append(first[1:], True)
        self._time[ids[last]], self._value[ids[last]] = times[last], values[last]
        self._since[ids[last]] = since[last]
        mask: BoolArray = times - since > stuck_ms[ids]
        return mask

    def _grow(self, size: int) -> None:
        missing = size - len(self._time)
        if missing > 0:
            self._time = np.append(self._time, np.full(missing, NEVER))
            self._value = np.append(self._value, np.zeros(missing))
            self._since = np.append(self._since, np.full(missing, NEVER))


def _exceeds(change: FloatArray, elapsed_ms: IntArray, max_rate: FloatArray) -> BoolArray:
    """Return a mask of the changes above the rate; a millisecond counts at least."""
    mask: BoolArray = np.abs(change) > max_rate * np.maximum(elapsed_ms, 1) / 1000
    return mask
