"""Statistics of windows besides those of every row: the last value, and percentiles, by globs over names. Pure.

They are computed of the readings in mean, min and max of the window. A statistic is emitted only if all of these were
observed: not for a window that was open when its series got the statistic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_components.aggregator.distributions import Distributions
from edge_components.aggregator.last_values import LastValues
from edge_components.aggregator.open_windows import OpenWindows
from edge_components.aggregator.window_types import Arrays, BoolArray, StatisticRules
from edge_components.common.patterns import longest_match
from wire.model import FloatArray, IntArray

LAST = "last"
_PERCENTILE = re.compile(r"p([1-9][0-9]?)(?:_([1-9]))?\Z")
_MIN_REMOVED = 4_096


def thousandths(statistic: str) -> int:
    """Return the share of readings of a percentile such as ``p95`` or ``p99_9``; raises ValueError for other text."""
    match = _PERCENTILE.match(statistic)
    if match is None:
        raise ValueError(f"{statistic[:40]!r}: {LAST}, or a percentile from p1 to p99_9")
    return 10 * int(match[1]) + int(match[2] or 0)


@dataclass(frozen=True, slots=True)
class StatisticRows:
    """Values of one statistic as columns, one row a window: series id, extent, readings by quality, revision."""

    statistic: str
    series_id: IntArray
    start_ms: IntArray
    width_ms: IntArray
    count: IntArray
    value: FloatArray
    revision: IntArray
    uncertain: IntArray
    bad: IntArray

    def __len__(self) -> int:
        return len(self.value)


class Observed:
    """Readings of windows, as far as statistics need them."""

    def __init__(self) -> None:
        self.distributions, self.last = Distributions(), LastValues()

    def __len__(self) -> int:
        return len(self.distributions) + len(self.last)

    @property
    def tables(self) -> tuple[Distributions, LastValues]:
        """Both tables."""
        return self.distributions, self.last

    def append(self, other: Observed) -> None:
        """Add the readings of other windows."""
        self.distributions.append(other.distributions)
        self.last.append(other.last)

    def take(self, keys: IntArray) -> Observed:
        """Remove and return windows; ``keys`` is sorted."""
        taken = Observed()
        taken.distributions, taken.last = self.distributions.take(keys), self.last.take(keys)
        return taken

    def values(self, statistic: str, keys: IntArray) -> tuple[FloatArray, IntArray]:
        """Return the statistic of each window, and the number of readings that it is of; ``keys`` is sorted."""
        if statistic != LAST:
            return self.distributions.quantiles(keys, thousandths(statistic))
        if not len(self.last):
            return np.zeros(len(keys)), np.zeros(len(keys), np.int64)
        at = np.minimum(np.searchsorted(self.last.key, keys), len(self.last.key) - 1)
        return self.last.value[at], np.where(self.last.key[at] == keys, self.last.count[at], 0)


class WindowStatistics:
    """Statistics of the open windows, and of those that late readings open or correct."""

    def __init__(self, rules: StatisticRules = ()) -> None:
        self._rules = dict(rules)
        self._names: dict[int, str] = {}
        self._wanted: dict[str, BoolArray] = {}
        """Masks by series id of the statistics in the rules."""
        self._percentiles, self._last = np.zeros(0, np.bool_), np.zeros(0, np.bool_)
        self._open, self._late = Observed(), Observed()
        self._retained = 0
        self._emitted: list[StatisticRows] = []
        self.reconfigure(rules)

    def __bool__(self) -> bool:
        """Return whether any series may have a statistic."""
        return bool(self._rules)

    def assign(self, series_id: int, name: str) -> None:
        """Give a series id the statistics of the series with this name."""
        self._names[series_id] = name
        if self._rules:
            self._set(series_id, name)

    def reconfigure(self, rules: StatisticRules) -> None:
        """Apply other rules."""
        self._rules = dict(rules)
        statistics = sorted({one for chosen in self._rules.values() for one in chosen})
        size = max(self._names, default=-1) + 1
        self._wanted = {one: np.zeros(size, np.bool_) for one in statistics}
        self._percentiles, self._last = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        if not self._rules:
            self.clear()
            return
        for series_id, name in self._names.items():
            self._set(series_id, name)

    def observe(
        self, series_id: IntArray, key: IntArray, time_ms: IntArray, value: FloatArray, *, late: bool = False
    ) -> None:
        """Add the used readings of a batch, by the key of their window."""
        observed = self._late if late else self._open
        if (rows := self._percentiles[series_id]).any():
            observed.distributions.add(key[rows], value[rows])
        if (rows := self._last[series_id]).any():
            observed.last.add(key[rows], time_ms[rows], value[rows])

    def close(self, keys: IntArray, *, kept: bool) -> Observed:
        """Remove and return what is known of open windows; it is kept for late readings if ``kept``."""
        taken = self._open.take(keys)
        if kept and len(taken):
            self._late.append(taken)
        return taken

    @property
    def late(self) -> Observed:
        """Readings of the windows that late readings open or correct."""
        return self._late

    @property
    def crowded(self) -> bool:
        """Return whether :meth:`retain` is due."""
        return len(self._late) > 2 * self._retained + _MIN_REMOVED

    def retain(self, keys: IntArray) -> None:
        """Remove what is known of windows that late readings can no longer correct; ``keys`` is sorted."""
        for table in self._late.tables:
            table.retain(keys)
        self._retained = len(self._late)

    def emit(
        self, observed: Observed, rows: OpenWindows, start_ms: IntArray, width_ms: IntArray, revision: IntArray
    ) -> None:
        """Compute the statistics of closed windows, sorted by key; :meth:`take_emitted` returns them."""
        for statistic, wanted in self._wanted.items():
            at = np.flatnonzero(wanted[rows.series_id])
            if not len(at):
                continue
            value, readings = observed.values(statistic, rows.key[at])
            complete = (readings == rows.count[at]) & (readings > 0)
            at, value = at[complete], value[complete]
            # A rounded value must not be outside the extremes.
            value = np.minimum(np.maximum(value, rows.min[at]), rows.max[at])
            columns = (rows.series_id[at], start_ms[at], width_ms[at], rows.count[at], value, revision[at])
            if len(at):
                self._emitted.append(StatisticRows(statistic, *columns, rows.uncertain[at], rows.bad[at]))

    def take_emitted(self) -> Sequence[StatisticRows]:
        """Remove and return the statistics computed since the last call."""
        emitted, self._emitted = self._emitted, []
        return emitted

    def remove_windows(self, keys: IntArray) -> None:
        """Remove windows, open or late; ``keys`` is sorted."""
        self._open.take(keys)
        self._late.take(keys)

    def remove_series(self, which: BoolArray) -> None:
        """Remove all windows of some series; ``which`` is a mask by series id."""
        for table in (*self._open.tables, *self._late.tables):
            table.remove_series(which)

    def rescale(self, which: BoolArray, factor: float, offset: float) -> None:
        """Convert the values of some series to another unit; ``which`` is a mask by series id."""
        for table in (*self._open.tables, *self._late.tables):
            table.rescale(which, factor, offset)

    def clear(self) -> None:
        """Remove all windows."""
        self._open, self._late, self._retained = Observed(), Observed(), 0

    def state(self) -> Arrays:
        """Return the arrays of a snapshot; none without rules."""
        arrays: Arrays = {}
        if not self._rules:
            return arrays
        for name, observed in (("open", self._open), ("late", self._late)):
            arrays |= observed.distributions.state(f"distribution_{name}") | observed.last.state(f"last_{name}")
        return arrays

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`; snapshots of earlier versions lack the arrays."""
        for name, observed in (("open", self._open), ("late", self._late)):
            observed.distributions.restore(f"distribution_{name}", arrays)
            observed.last.restore(f"last_{name}", arrays)
        self._retained = len(self._late)

    def _set(self, series_id: int, name: str) -> None:
        masks = [*self._wanted.values(), self._percentiles, self._last]
        if series_id >= len(self._last):
            extra = np.zeros(max(64, series_id + 1), np.bool_)
            self._wanted = {one: np.append(mask, extra) for one, mask in self._wanted.items()}
            self._percentiles, self._last = np.append(self._percentiles, extra), np.append(self._last, extra)
            masks = [*self._wanted.values(), self._percentiles, self._last]
        for mask in masks:
            mask[series_id] = False
        glob = longest_match(name, self._rules)
        for statistic in () if glob is None else self._rules[glob]:
            self._wanted[statistic][series_id] = True
            (self._last if statistic == LAST else self._percentiles)[series_id] = True
