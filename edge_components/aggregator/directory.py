"""The series that the aggregator knows: each name under a place that never changes while the process lives. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

import numpy as np

from wire.model import FloatArray, IntArray, Series

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value allowed, inclusive, by a glob over series' names."""

UNPLACED = -1


class Directory:
    """Places by name, and the range that the configuration gives each."""

    def __init__(self, ranges: Ranges, max_series: int) -> None:
        self._ranges, self._max_series = ranges, max_series
        self._places: dict[str, int] = {}
        self._series: list[Series] = []
        self._low, self._high = np.zeros(0), np.zeros(0)

    def __len__(self) -> int:
        return len(self._series)

    @property
    def low(self) -> FloatArray:
        """Lowest value allowed of each place, float64[len]."""
        return self._low

    @property
    def high(self) -> FloatArray:
        """Highest value allowed of each place, float64[len]."""
        return self._high

    def all(self) -> tuple[Series, ...]:
        """Return every series, by place."""
        return tuple(self._series)

    def places(self, series: Sequence[Series]) -> IntArray:
        """Return the place of each series, int64[len(series)]; UNPLACED for one beyond the limit.

        A series known under its name with another unit or resolution is described anew from here on.
        """
        found = np.full(len(series), UNPLACED, np.int64)
        for at, one in enumerate(series):
            place = self._places.get(one.name, UNPLACED)
            if place == UNPLACED:
                if len(self._series) >= self._max_series:
                    continue
                place = self._places[one.name] = len(self._series)
                self._series.append(one)
            elif self._series[place] != one:
                self._series[place] = one
            found[at] = place
        if len(self._low) < len(self._series):
            self._set_ranges()
        return found

    def series(self, places: IntArray) -> tuple[Series, ...]:
        """Return the series at these places."""
        return tuple(self._series[place] for place in places.tolist())

    def describe(self, ranges: Ranges, max_series: int) -> None:
        """Go on with other ranges and another limit; places stay."""
        self._ranges, self._max_series = ranges, max_series
        self._low, self._high = np.zeros(0), np.zeros(0)
        self._set_ranges()

    def _set_ranges(self) -> None:
        new = [self._range(one.name) for one in self._series[len(self._low) :]]
        self._low = np.append(self._low, [low for low, _ in new])
        self._high = np.append(self._high, [high for _, high in new])

    def _range(self, name: str) -> tuple[float, float]:
        # The longest glob that matches is the most telling; Greengrass keeps no order of keys to go by.
        matching = [glob for glob in self._ranges if fnmatch.fnmatchcase(name, glob)]
        return self._ranges[max(matching, key=lambda glob: (len(glob), glob))] if matching else (-np.inf, np.inf)
