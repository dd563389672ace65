"""Open windows, and the merge of readings into them. Pure, columnar.

Deviations are merged by Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances" (1979), which stays exact where sums of squares cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.window_types import Arrays, BoolArray, exported, imported
from wire.model import FloatArray, IntArray

_STORED = {f"open_{name}": name for name in ("key", "count", "mean", "m2", "min", "max")}
_WINDOW_BITS = 48
_WINDOW_MASK = (1 << _WINDOW_BITS) - 1


@dataclass(slots=True)
class OpenWindows:
    """Open windows, sorted by key: series id in the upper bits, the window's number since the epoch in the lower."""

    key: IntArray
    count: IntArray
    mean: FloatArray
    m2: FloatArray
    min: FloatArray
    max: FloatArray

    @classmethod
    def empty(cls) -> OpenWindows:
        """Return no windows."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), *(np.zeros(0) for _ in range(4)))

    @property
    def series_id(self) -> IntArray:
        """Series id of each window."""
        return self.key >> _WINDOW_BITS

    @staticmethod
    def keys(series_id: IntArray, time_ms: IntArray, width_ms: int) -> IntArray:
        """Return the keys of the windows that these times belong to."""
        keys: IntArray = (series_id << _WINDOW_BITS) | (time_ms // width_ms)
        return keys

    def start(self, width_ms: int) -> IntArray:
        """Return the start of each window."""
        return (self.key & _WINDOW_MASK) * width_ms

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return exported(self, _STORED)

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""
        imported(self, _STORED, arrays)

    def add(self, series_id: IntArray, time_ms: IntArray, value: FloatArray, width_ms: int) -> None:
        """Merge readings: group them by window, then merge the groups with the open windows."""
        part = _grouped(self.keys(series_id, time_ms, width_ms), value)
        at = np.searchsorted(self.key, part.key)
        known = at < len(self.key)
        known[known] = self.key[at[known]] == part.key[known]
        self._merge(at[known], part.select(known))
        if not known.all():
            new = ~known
            for name in self.__slots__:
                setattr(self, name, np.insert(getattr(self, name), at[new], getattr(part, name)[new]))

    def take(self, which: BoolArray) -> OpenWindows:
        """Remove and return the selected windows."""
        if not which.any():
            return OpenWindows.empty()
        taken, rest = self.select(which), self.select(~which)
        for name in self.__slots__:
            setattr(self, name, getattr(rest, name))
        return taken

    def select(self, which: BoolArray) -> OpenWindows:
        """Return a copy of the selected windows."""
        return OpenWindows(*(getattr(self, name)[which] for name in self.__slots__))

    def _merge(self, at: npt.NDArray[np.intp], part: OpenWindows) -> None:
        """Merge each group with the open window at its position (Chan, Golub and LeVeque)."""
        own, added = self.count[at], part.count
        total = own + added
        delta = part.mean - self.mean[at]
        self.mean[at] += delta * (added / total)
        self.m2[at] += part.m2 + delta * delta * (own * (added / total))
        self.count[at] = total
        self.min[at] = np.minimum(self.min[at], part.min)
        self.max[at] = np.maximum(self.max[at], part.max)


def _grouped(key: IntArray, value: FloatArray) -> OpenWindows:
    """Return one row a key; deviations are taken from each group's first value and then from its mean."""
    order = np.argsort(key, kind="stable")
    key, value = key[order], value[order]
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    count = np.diff(np.append(first, len(key)))
    reference = value[first]
    offset = value - np.repeat(reference, count)
    mean = np.add.reduceat(offset, first) / count
    offset -= np.repeat(mean, count)
    m2 = np.add.reduceat(offset * offset, first)
    low, high = np.minimum.reduceat(value, first), np.maximum.reduceat(value, first)
    return OpenWindows(key[first], count.astype(np.int64), reference + mean, m2, low, high)
