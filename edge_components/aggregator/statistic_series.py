"""Rows of the series that have the statistics of other series' windows. Pure.

Mean, minimum and maximum of such a row are the statistic, and its count is the number of readings that it is of.
"""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.series_table import SeriesTable
from edge_components.aggregator.window_statistics import StatisticRows
from edge_components.aggregator.window_types import BoolArray
from edge_components.common.series_registry import UNKNOWN
from wire.errors import ModelError
from wire.model import Aggregates, Series, statistic_name

_MAX_CACHED = 65_536


class StatisticSeries:
    """Series of statistics by the series and the statistic; their units and resolutions are the same."""

    def __init__(self, registry: SeriesTable) -> None:
        self._registry = registry
        self._cache: dict[tuple[Series, str], Series | None] = {}
        self.unnamed: dict[str, int] = {}
        """Numbers of the rows that have no name, by their series; their owner clears it."""

    def aggregates(self, rows: StatisticRows, which: BoolArray) -> Aggregates:
        """Return the selected rows, without those whose name is too long or that of a sensor's series."""
        used, index = np.unique(rows.series_id[which], return_inverse=True)
        found = [self._series(series, rows.statistic) for series in self._registry.series(used)]
        value = rows.value[which]
        named = np.array([one is not None for one in found], np.bool_)[index]
        whole = Aggregates(
            tuple(one or Series("unnamed") for one in found),
            index.astype(np.int64),
            rows.start_ms[which],
            rows.width_ms[which],
            rows.count[which],
            value,
            value,
            value,
            np.zeros(len(value)),
            np.full(len(value), np.nan),
            rows.revision[which],
            rows.uncertain[which],
            rows.bad[which],
        )
        if named.all():
            return whole
        for series_id in rows.series_id[which][~named].tolist():
            name = self._registry[series_id].name
            self.unnamed[name] = self.unnamed.get(name, 0) + 1
        return whole.take(np.flatnonzero(named)).compact()

    def _series(self, series: Series, statistic: str) -> Series | None:
        name = statistic_name(series.name, statistic)
        if self._registry.find(name) != UNKNOWN:
            return None
        key = (series, statistic)
        if key not in self._cache:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            try:
                self._cache[key] = Series(name, series.unit, series.resolution)
            except ModelError:
                self._cache[key] = None
        return self._cache[key]
