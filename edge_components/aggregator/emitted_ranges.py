"""Ranges of event time whose windows were emitted and can no longer be corrected. Pure, columnar.

A late reading in such a range is dropped: the earlier readings of its window are no longer known, so a revision would
contain only the late ones. Each series has a few ranges. Neighbouring ones are merged, up to ``slack`` apart; where
a series has too many, the two that are closest to each other are merged, and the gap between them cannot be filled any
more.
"""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.window_types import Arrays, BoolArray
from wire.model import IntArray

RANGES = 4
"""Maximum number of ranges of a series."""

_STORED_FROM, _STORED_UNTIL = "emitted_from", "emitted_until"


class EmittedRanges:
    """Up to RANGES half-open ranges [from, until) for each series; an empty one has ``until`` 0."""

    def __init__(self) -> None:
        self._from = np.zeros((0, RANGES), np.int64)
        self._until = np.zeros((0, RANGES), np.int64)
        self.initial_until = 0
        """End of the first range of a new series, which begins at 0."""

    def grow(self, size: int) -> None:
        """Extend the arrays to ``size`` series."""
        before = len(self._from)
        if size <= before:
            return
        extra = np.zeros((size - before, RANGES), np.int64)
        self._from, self._until = np.concatenate((self._from, extra)), np.concatenate((self._until, extra))
        self._until[before:, 0] = self.initial_until

    def reset(self, series_id: int) -> None:
        """Reset a series to the state of a new one."""
        self._from[series_id], self._until[series_id] = 0, 0
        self._until[series_id, 0] = self.initial_until

    def cover_all(self, until: IntArray) -> None:
        """Cover everything before ``until`` of each series, int64 by series id."""
        self.grow(len(until))
        self._from[: len(until)], self._until[: len(until)] = 0, 0
        self._until[: len(until), 0] = np.maximum(until, 0)

    def overlap(self, series_id: IntArray, start_ms: IntArray, end_ms: IntArray) -> BoolArray:
        """Return a mask of the windows that overlap a range."""
        inside = (start_ms[:, None] < self._until[series_id]) & (end_ms[:, None] > self._from[series_id])
        mask: BoolArray = inside.any(axis=1)
        return mask

    def add(self, series_id: IntArray, start_ms: IntArray, end_ms: IntArray, slack_ms: IntArray) -> None:
        """Cover windows; ``slack_ms`` is the distance up to which ranges are merged, by series id."""
        order = np.lexsort((start_ms, series_id))
        series_id, start_ms, end_ms = series_id[order], start_ms[order], end_ms[order]
        new_series = np.append(True, series_id[1:] != series_id[:-1])
        begins = new_series | np.append(True, start_ms[1:] - end_ms[:-1] > slack_ms[series_id[1:]])
        first = np.flatnonzero(begins)
        run_id, run_from = series_id[first], start_ms[first]
        run_until = np.maximum.reduceat(end_ms, first)
        # First all series' first runs, then their second ones, ...: a series is in each step at most once.
        position = np.arange(len(first))
        begin_of_series = np.maximum.accumulate(np.where(new_series[first], position, 0))
        rank = position - begin_of_series
        for step in range(int(rank.max()) + 1 if len(rank) else 0):
            at = rank == step
            self._insert(run_id[at], run_from[at], run_until[at], slack_ms[run_id[at]])

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return {_STORED_FROM: self._from.reshape(-1), _STORED_UNTIL: self._until.reshape(-1)}

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`; raises KeyError or ValueError for other arrays."""
        found = [arrays[name].astype(np.int64).reshape(-1, RANGES) for name in (_STORED_FROM, _STORED_UNTIL)]
        if len(found[0]) != len(found[1]):
            raise ValueError(f"ranges: {len(found[0])} and {len(found[1])} series")
        self._from, self._until = found

    def _insert(self, ids: IntArray, begin: IntArray, end: IntArray, slack: IntArray) -> None:
        """Add one range to each of these series, merged with those that it touches."""
        start, until = self._from[ids], self._until[ids]
        used = until > start
        begin_, end_, slack_ = begin[:, None], end[:, None], slack[:, None]
        touches = used & (begin_ <= until + slack_) & (end_ >= start - slack_)
        crowded = used.all(axis=1) & ~touches.any(axis=1)
        if crowded.any():
            distance = np.where(start > end_, start - end_, begin_ - until)
            touches[crowded, np.argmin(distance, axis=1)[crowded]] = True
        low = np.minimum(begin, np.where(touches, start, begin_).min(axis=1))
        high = np.maximum(end, np.where(touches, until, end_).max(axis=1))
        start[touches], until[touches] = 0, 0
        rows, slot = np.arange(len(ids)), np.argmax(until <= start, axis=1)
        start[rows, slot], until[rows, slot] = low, high
        self._from[ids], self._until[ids] = start, until
