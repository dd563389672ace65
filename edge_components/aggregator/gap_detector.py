"""Detection of series that stopped reporting, from the usual spacing of their windows. Pure, columnar."""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.window_shapes import WindowShapes
from edge_components.aggregator.window_types import (
    NEVER,
    Arrays,
    BoolArray,
    WindowSettings,
    exported,
    imported,
)
from wire.model import FloatArray, IntArray

_STORED = {"gap_last": "_last", "gap_spacing": "_spacing", "gap_reported": "_reported"}
_SPACING_GAIN, _SPACING_GROWTH = 0.25, 4.0


class GapDetector:
    """Expected windows and reported gaps of each series, indexed by series id."""

    def __init__(self) -> None:
        self._last = np.zeros(0, np.int64)
        self._spacing = np.zeros(0)
        self._reported = np.zeros(0, np.int64)

    def grow(self, size: int) -> None:
        """Extend the arrays to ``size`` series."""
        missing = size - len(self._last)
        if missing > 0:
            self._last = np.append(self._last, np.full(missing, NEVER))
            self._spacing = np.append(self._spacing, np.full(missing, np.nan))
            self._reported = np.append(self._reported, np.zeros(missing, np.int64))

    @property
    def spacing(self) -> FloatArray:
        """Usual spacing of each series' windows in milliseconds, NaN where it is not known, by series id."""
        return self._spacing

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return exported(self, _STORED)

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""
        imported(self, _STORED, arrays)

    def reset(self, which: BoolArray | IntArray) -> None:
        """Expect no window of these series, given by a mask or by their ids, until they report again."""
        self._last[which] = NEVER
        self._reported[which] = 0

    def remove(self, series_id: int) -> None:
        """Remove a series whose id is reused."""
        self._last[series_id], self._spacing[series_id], self._reported[series_id] = NEVER, np.nan, 0

    def observe(self, series_id: IntArray, start_ms: IntArray, shapes: WindowShapes) -> None:
        """Learn the usual spacing of a series' windows from emitted ones (never less than a hop)."""
        if not len(series_id):
            return
        newest = np.full(len(self._last), NEVER)
        np.maximum.at(newest, series_id, start_ms)
        count = np.bincount(series_id, minlength=len(newest))
        moved = newest > self._last
        known = moved & (self._last > NEVER)
        distance = (newest[known] - self._last[known]) / count[known]
        usual = self._spacing[known]
        usual = np.where(np.isnan(usual), distance, usual)
        step = _SPACING_GAIN * (np.minimum(distance, _SPACING_GROWTH * usual) - usual)
        self._spacing[known] = np.maximum(usual + step, shapes.hop(np.flatnonzero(known)))
        self._last[moved] = newest[moved]
        self._reported[moved] = 0

    def gaps(
        self, mark: IntArray, settings: WindowSettings, shapes: WindowShapes, busy: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Return series ids and starts of missed windows, for the first few of a gap only.

        ``busy`` are the ids of series with an open window. A window is returned one usual spacing after its end.
        """
        rest = (self._reported < settings.gap_windows) & ~np.isnan(self._spacing) & (self._last > NEVER)
        rest[busy] = False
        series_ids, starts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for _ in range(settings.gap_windows):
            candidate = np.flatnonzero(rest)
            if not len(candidate):
                break
            expected = self._last[candidate] + (self._spacing[candidate] * (self._reported[candidate] + 1)).astype(
                np.int64
            )
            width = shapes.hop(candidate)
            start = expected - expected % width
            due = start + width + self._spacing[candidate] <= mark[candidate]
            if not due.any():
                break
            candidate, start = candidate[due], start[due]
            series_ids.append(candidate)
            starts.append(start)
            self._reported[candidate] += 1
            rest[:] = False
            rest[candidate] = self._reported[candidate] < settings.gap_windows
        return np.concatenate(series_ids).astype(np.int64), np.concatenate(starts)
