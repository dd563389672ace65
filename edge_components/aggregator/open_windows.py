"""Open windows, and the merge of readings into them. Pure, columnar.

Deviations are merged by Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances" (1979), which stays exact where sums of squares cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.grade import Grade
from edge_components.aggregator.window_shapes import Milliseconds, WindowShapes
from edge_components.aggregator.window_types import Arrays, BoolArray, exported, imported
from wire.model import ByteArray, FloatArray, IntArray

_NUMBERS = ("key", "count", "mean", "m2", "min", "max", "uncertain", "bad")
QUALITIES = ("uncertain", "bad")
"""Columns that snapshots of earlier versions lack."""

_STORED_NAMES = ("key", "count", "mean", "m2", "min", "max", "uncertain", "bad")
_STORED = {f"open_{name}": name for name in _STORED_NAMES}
_STORED_LATE = {f"late_{name}": name for name in (*_STORED_NAMES, "revision", "touched_ms", "added", "tag")}
_WINDOW_BITS = 48
_WINDOW_MASK = (1 << _WINDOW_BITS) - 1


@dataclass(slots=True)
class OpenWindows:
    """Open windows, sorted by key: series id in the upper bits, the number of the window's last hop in the lower.

    Hops are counted from the epoch; in tumbling windows the only hop is the window (see window_shapes.py). ``count`` is
    the number of readings in mean, m2, min and max; ``uncertain`` and ``bad`` are the numbers of readings of this
    quality, used or not. A window with a count of 0 has mean and m2 0, min infinite and max minus infinite.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = _NUMBERS
    STORED: ClassVar[dict[str, str]] = _STORED

    key: IntArray
    count: IntArray
    mean: FloatArray
    m2: FloatArray
    min: FloatArray
    max: FloatArray
    uncertain: IntArray
    bad: IntArray

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

    def of_series(self, which: BoolArray) -> BoolArray:
        """Return a mask of the windows of some series; ``which`` is a mask by series id, false beyond its end."""
        return series_of(self.key, which)

    @staticmethod
    def keys(series_id: IntArray, time_ms: IntArray, hop_ms: Milliseconds) -> IntArray:
        """Return the keys of the windows whose last hop these times are in; ``hop_ms`` is that of each row."""
        keys: IntArray = (series_id << _WINDOW_BITS) | (time_ms // hop_ms)
        return keys

    def start(self, shapes: WindowShapes) -> IntArray:
        """Return the start of the last hop of each window."""
        return (self.key & _WINDOW_MASK) * shapes.hop(self.series_id)

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return exported(self, self.STORED)

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""
        imported(self, self.STORED, arrays, QUALITIES)

    def add(self, key: IntArray, value: FloatArray, quality: ByteArray | None = None) -> None:
        """Merge readings: group them by window, then merge the groups with the open windows.

        ``quality`` has the codes of :class:`Grade`; without it all readings are good.
        """
        for part in grouped(key, value, quality):
            self.merge(part)

    def merge(self, part: OpenWindows) -> None:
        """Merge windows of the same columns, sorted by key, one a key, with the open ones."""
        at = np.searchsorted(self.key, part.key)
        known = at < len(self.key)
        known[known] = self.key[at[known]] == part.key[known]
        if known.all():
            self._merge(at, part)
            return
        new = part
        if known.any():
            self._merge(at[known], part.select(known))
            new = part.select(~known)
        if len(new):
            order = np.argsort(np.concatenate((self.key, new.key)), kind="stable")
            for name in self.COLUMNS:
                setattr(self, name, np.concatenate((getattr(self, name), getattr(new, name)))[order])

    def rescale(self, which: BoolArray, factor: float, offset: float) -> None:
        """Convert the values of the selected windows to another unit; ``factor`` is above 0."""
        which = which & (self.count > 0)
        for name in ("mean", "min", "max"):
            column = getattr(self, name)
            column[which] = column[which] * factor + offset
        self.m2[which] *= factor * factor

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
        share = added / (total if total.all() else np.maximum(total, 1))
        delta = part.mean - self.mean[at]
        self.mean[at] += delta * share
        self.m2[at] += part.m2 + delta * delta * (own * share)
        self.count[at] = total
        self.uncertain[at] += part.uncertain
        self.bad[at] += part.bad
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


def series_of(key: IntArray, which: BoolArray) -> BoolArray:
    """Return a mask of the keys of some series; ``which`` is a mask by series id, false beyond its end."""
    series_id = key >> _WINDOW_BITS
    mask = series_id < len(which)
    mask[mask] = which[series_id[mask]]
    return mask


def grouped(key: IntArray, value: FloatArray, quality: ByteArray | None = None) -> list[OpenWindows]:
    """Return the windows of readings, sorted by key: those of usable readings, and those of unusable ones, if any.

    Deviations are taken from each group's first value and then from its mean.
    """
    graded = quality is not None and bool(quality.any())
    if not graded or quality is None:
        return [_usable(key, value, None)]
    used = quality != Grade.UNUSABLE
    found = [_usable(key[used], value[used], quality[used])] if used.any() else []
    if not used.all():
        found.append(_unusable(key[~used]))
    return found


def _usable(key: IntArray, value: FloatArray, quality: ByteArray | None) -> OpenWindows:
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
    if quality is None:
        uncertain, bad = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
    else:
        uncertain, bad = (
            np.add.reduceat((quality[order] == grade).astype(np.int64), first)
            for grade in (Grade.UNCERTAIN, Grade.BAD_USED)
        )
    return OpenWindows(key[first], count.astype(np.int64), reference + mean, m2, low, high, uncertain, bad)


def _unusable(key: IntArray) -> OpenWindows:
    key, number = np.unique(key, return_counts=True)
    size = len(key)
    zero, infinite = np.zeros(size, np.int64), np.full(size, np.inf)
    return OpenWindows(key, zero, np.zeros(size), np.zeros(size), infinite, -infinite, zero.copy(), number)
