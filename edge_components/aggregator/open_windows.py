"""Open windows, and the merge of readings into them. Pure, columnar.

Deviations are merged by Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances" (1979), which stays exact where sums of squares cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.window_types import Arrays, BoolArray, exported, imported
from wire.model import FloatArray, IntArray

_NUMBERS = ("key", "count", "mean", "m2", "min", "max")
_STORED = {f"open_{name}": name for name in ("key", "count", "mean", "m2", "min", "max")}
_STORED_LATE = {
    f"late_{name}": name for name in ("key", "count", "mean", "m2", "min", "max", "revision", "touched_ms", "added")
} | {"late_tag": "tag"}
_WINDOW_BITS = 48
_WINDOW_MASK = (1 << _WINDOW_BITS) - 1


@dataclass(slots=True)
class OpenWindows:
    """Open windows, sorted by key: series id in the upper bits, the window's number since the epoch in the lower."""

    COLUMNS: ClassVar[tuple[str, ...]] = _NUMBERS
    STORED: ClassVar[dict[str, str]] = _STORED

    key: IntArray
    count: IntArray
    mean: FloatArray
    m2: FloatArray
    min: FloatArray
    max: FloatArray

    @classmethod
    def empty(cls) -> Self:
        """Return no windows."""
        floats = ("mean", "m2", "min", "max")
        columns: list[Any] = [np.zeros(0, np.float64 if name in floats else np.int64) for name in cls.COLUMNS]
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.key)

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
        return exported(self, self.STORED)

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""
        imported(self, self.STORED, arrays)

    def add(self, series_id: IntArray, time_ms: IntArray, value: FloatArray, width_ms: int) -> None:
        """Merge readings: group them by window, then merge the groups with the open windows."""
        self.merge(OpenWindows(*grouped(self.keys(series_id, time_ms, width_ms), value)))  # type: ignore[arg-type]

    def merge(self, part: OpenWindows) -> None:
        """Merge windows of the same columns, sorted by key, one a key, with the open ones."""
        at = np.searchsorted(self.key, part.key)
        known = at < len(self.key)
        known[known] = self.key[at[known]] == part.key[known]
        if known.any():
            self._merge(at[known], part.select(known))
        if not known.all():
            new = ~known
            for name in self.COLUMNS:
                setattr(self, name, np.insert(getattr(self, name), at[new], getattr(part, name)[new]))

    def take(self, which: BoolArray) -> Self:
        """Remove and return the selected windows."""
        if not which.any():
            return self.empty()
        taken, rest = self.select(which), self.select(~which)
        for name in self.COLUMNS:
            setattr(self, name, getattr(rest, name))
        return taken

    def take_slice(self, start: int, end: int) -> Self:
        """Return the windows from ``start`` up to ``end``."""
        return type(self)(*(getattr(self, name)[start:end] for name in self.COLUMNS))

    def select(self, which: BoolArray | npt.NDArray[np.intp]) -> Self:
        """Return a copy of the selected windows."""
        return type(self)(*(getattr(self, name)[which] for name in self.COLUMNS))

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


@dataclass(slots=True)
class LateWindows(OpenWindows):
    """Windows of late readings, with four more columns.

    ``revision``: the one that was emitted last, 0 for a live row and for none. ``touched_ms``: idle clock at the last
    reading. ``added``: readings since the last emission. ``tag``: number of the clean-up of the deduplicator that took
    up the oldest of its readings.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = (*_NUMBERS, "revision", "touched_ms", "added", "tag")
    STORED: ClassVar[dict[str, str]] = _STORED_LATE

    revision: IntArray
    touched_ms: IntArray
    added: IntArray
    tag: IntArray

    @classmethod
    def of(cls, windows: OpenWindows, *, touched_ms: int, added: IntArray, tag: int) -> Self:
        """Return windows that were not emitted as late ones so far."""
        size = len(windows.key)
        columns = [getattr(windows, name) for name in _NUMBERS]
        columns += [np.zeros(size, np.int64), np.full(size, touched_ms), added, np.full(size, tag)]
        return cls(*columns)

    def _merge(self, at: npt.NDArray[np.intp], part: OpenWindows) -> None:
        OpenWindows._merge(self, at, part)
        late = cast(LateWindows, part)
        self.revision[at] = np.maximum(self.revision[at], late.revision)
        self.touched_ms[at] = np.maximum(self.touched_ms[at], late.touched_ms)
        self.added[at] += late.added
        self.tag[at] = np.minimum(self.tag[at], late.tag)


def grouped(key: IntArray, value: FloatArray) -> tuple[IntArray | FloatArray, ...]:
    """Return key, count, mean, m2, min and max, one row a key.

    Deviations are taken from each group's first value and then from its mean.
    """
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
    return key[first], count.astype(np.int64), reference + mean, m2, low, high
