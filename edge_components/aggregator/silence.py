"""When each series is to be expected, so that its silence can be told. Pure, columnar."""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.window_types import (
    NEVER,
    Arrays,
    BoolArray,
    Closed,
    WindowSettings,
    exported,
    imported,
    silent,
)
from wire.model import IntArray

_KEPT = ("_last", "_spacing", "_told")
_SPACING_GAIN, _SPACING_GROWTH = 0.25, 4.0


class Silence:
    """When each series is to be expected, and how often its silence has been told; one row a place."""

    def __init__(self) -> None:
        self._last = np.zeros(0, np.int64)
        self._spacing = np.zeros(0)
        self._told = np.zeros(0, np.int64)

    def grow(self, size: int) -> None:
        """Have a row for each place below ``size``."""
        missing = size - len(self._last)
        if missing > 0:
            self._last = np.append(self._last, np.full(missing, NEVER))
            self._spacing = np.append(self._spacing, np.full(missing, np.nan))
            self._told = np.append(self._told, np.zeros(missing, np.int64))

    def state(self) -> Arrays:
        """Return what a restart needs."""
        return exported("silence", self, _KEPT)

    def restore(self, arrays: Arrays) -> None:
        """Go on from :meth:`state`."""
        imported("silence", self, _KEPT, arrays)

    def forget(self, which: BoolArray) -> None:
        """Expect nothing of these places until they have spoken again."""
        self._last[which] = NEVER
        self._told[which] = 0

    def speak(self, place: IntArray, start_ms: IntArray, width_ms: int) -> None:
        """Learn from emitted windows how far apart a series' windows usually are (never less than a width)."""
        if not len(place):
            return
        newest = np.full(len(self._last), NEVER)
        np.maximum.at(newest, place, start_ms)
        count = np.bincount(place, minlength=len(newest))
        moved = newest > self._last
        known = moved & (self._last > NEVER)
        distance = (newest[known] - self._last[known]) / count[known]
        usual = self._spacing[known]
        usual = np.where(np.isnan(usual), distance, usual)
        step = _SPACING_GAIN * (np.minimum(distance, _SPACING_GROWTH * usual) - usual)
        self._spacing[known] = np.maximum(usual + step, width_ms)
        self._last[moved] = newest[moved]
        self._told[moved] = 0

    def gaps(self, mark: IntArray, settings: WindowSettings, busy: IntArray) -> Closed:
        """Return a row of count 0 for each expected window that a series let pass, the first few of a silence only.

        ``busy`` are the places with an open window. A row comes one usual spacing after the window's end.
        """
        width = settings.width_ms
        rest = (self._told < settings.gap_windows) & ~np.isnan(self._spacing) & (self._last > NEVER)
        rest[busy] = False
        places, starts = [], []
        for _ in range(settings.gap_windows):
            candidate = np.flatnonzero(rest)
            expected = self._last[candidate] + (self._spacing[candidate] * (self._told[candidate] + 1)).astype(np.int64)
            start = expected - expected % width
            due = start + width + self._spacing[candidate] <= mark[candidate]
            if not due.any():
                break
            candidate, start = candidate[due], start[due]
            places.append(candidate)
            starts.append(start)
            self._told[candidate] += 1
            rest[:] = False
            rest[candidate] = self._told[candidate] < settings.gap_windows
        if not places:
            return silent(np.zeros(0, np.int64), np.zeros(0, np.int64), width)
        return silent(np.concatenate(places).astype(np.int64), np.concatenate(starts), width)
