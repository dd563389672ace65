"""The intake: checked readings as growing columns, until they are cut into batches. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from edge_components.sensor_reader.source_series import SourceSeries
from wire.model import IntArray, Readings

ROW_BYTES = 25
"""Plain bytes of a reading: index, time, value and quality."""


class Intake:
    """The readings of all sources, in the order of arrival."""

    def __init__(self, registry: SourceSeries) -> None:
        self._registry = registry
        self._index, self._time, self._value, self._quality = array("q"), array("q"), array("d"), array("B")
        self._used: set[int] = set()
        self._directory_bytes = 0
        self.oldest: float | None = None
        """Lower bound of the arrival time (monotonic seconds) of the oldest reading."""

    def __len__(self) -> int:
        return len(self._time)

    @property
    def directory_bytes(self) -> int:
        """Size of the readings' directory before any coding."""
        return self._directory_bytes

    @property
    def used(self) -> set[int]:
        """Ids of the series of the readings."""
        return self._used

    def add(self, series_id: int, time_ms: int, value: float, quality: int, arrived: float) -> None:
        """Add a finite reading that arrived at ``arrived`` (monotonic seconds)."""
        self.extend((series_id,), (time_ms,), (value,), (quality,), arrived)

    def extend(
        self,
        series_ids: Sequence[int],
        times_ms: Sequence[int],
        values: Sequence[float],
        qualities: Sequence[int],
        arrived: float,
    ) -> None:
        """Add columns of finite readings that arrived at ``arrived`` (monotonic seconds)."""
        self._index.extend(series_ids)
        self._time.extend(times_ms)
        self._value.extend(values)
        self._quality.extend(qualities)
        fresh = set(series_ids) - self._used
        if fresh:
            self._used |= fresh
            self._directory_bytes += self._bytes_of(fresh)
        if self.oldest is None or arrived < self.oldest:
            self.oldest = arrived

    def held(self) -> Readings:
        """Return the readings in order of arrival."""
        index = np.array(self._index, dtype=np.int64)
        used = self._used_ids(index)
        own = np.zeros(int(used[-1]) + 1 if len(used) else 0, np.int64)
        own[used] = np.arange(len(used))
        return Readings(
            tuple(self._registry[series_id] for series_id in used.tolist()),
            own[index],
            np.array(self._time, dtype=np.int64),
            np.array(self._value, dtype=np.float64),
            np.array(self._quality, dtype=np.uint8),
        )

    def used_ids(self) -> IntArray:
        """Return the distinct ids of the readings' series in order."""
        return np.array(sorted(self._used), np.int64)

    def forget(self, number: int) -> None:
        """Remove the oldest ``number`` readings, which are in a batch now."""
        if number >= len(self):
            for column in (self._index, self._time, self._value, self._quality):
                del column[:]
            self._used, self._directory_bytes, self.oldest = set(), 0, None
            return
        for column in (self._index, self._time, self._value, self._quality):
            del column[:number]
        self._used = set(self._index)
        self._directory_bytes = self._bytes_of(self._used)

    def _bytes_of(self, series_ids: set[int]) -> int:
        return sum(map(self._registry.plain_bytes.__getitem__, series_ids))

    @staticmethod
    def _used_ids(index: IntArray) -> IntArray:
        return np.flatnonzero(np.bincount(index)) if len(index) else index
