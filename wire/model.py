"""Data model: series, readings, aggregates, anomalies, notices, and the batch that carries them.

Rows are columnar: one NumPy array per column, one element per row, and a directory of series that ``series_index``
refers to. Times are integer milliseconds since the epoch, UTC.

The parts without rows are in :mod:`wire.names` and :mod:`wire.anomaly`, which do not import NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wire.anomaly import MAX_CAUSES as MAX_CAUSES
from wire.anomaly import MAX_HISTORY as MAX_HISTORY
from wire.anomaly import Anomalies as Anomalies
from wire.anomaly import Anomaly as Anomaly
from wire.anomaly import Notice as Notice
from wire.anomaly import Phase as Phase
from wire.errors import ModelError
from wire.names import MAX_NAME as MAX_NAME
from wire.names import MAX_SEQUENCE as MAX_SEQUENCE
from wire.names import Quality as Quality
from wire.names import Series as Series
from wire.names import check_gateway as check_gateway
from wire.names import check_name as check_name
from wire.names import is_statistic as is_statistic
from wire.names import statistic_name as statistic_name

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ByteArray = npt.NDArray[np.uint8]


def _columns_agree(rows: object, series: Sequence[Series], columns: Mapping[str, npt.NDArray[Any]]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ModelError(f"{type(rows).__name__}: columns of different length: {lengths}")
    index = columns["series_index"]
    if len(index) and (int(index.min()) < 0 or int(index.max()) >= len(series)):
        raise ModelError(f"{type(rows).__name__}: series_index outside the directory of {len(series)} series")


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings as columns.

    ``series_index`` int64[n] into ``series``; ``time_ms`` int64[n]; ``value`` float64[n]; ``quality`` uint8[n].
    """

    series: tuple[Series, ...]
    series_index: IntArray
    time_ms: IntArray
    value: FloatArray
    quality: ByteArray

    def __post_init__(self) -> None:
        _columns_agree(
            self,
            self.series,
            {
                "series_index": self.series_index,
                "time_ms": self.time_ms,
                "value": self.value,
                "quality": self.quality,
            },
        )

    def __len__(self) -> int:
        return len(self.time_ms)


@dataclass(frozen=True, slots=True, eq=False)
class Aggregates:
    """Aggregates as columns, one row per series and window; windows are half-open, [start_ms, start_ms + width_ms).

    ``series_index``, ``start_ms``, ``width_ms``, ``count`` int64[n]; ``mean``, ``min``, ``max``, ``std`` (population)
    float64[n]. ``score`` float64[n]: at least 0, higher is more anomalous, 1.0 is the alarm level, NaN is not scored.

    Three more columns int64[n] are 0 by default. ``revision``: of the rows of one series and window (start and width)
    the one with the highest revision replaces the others; 0 is the live row, one above 0 includes late readings.
    ``uncertain`` and ``bad``: number of readings of this quality in the window.
    """

    series: tuple[Series, ...]
    series_index: IntArray
    start_ms: IntArray
    width_ms: IntArray
    count: IntArray
    mean: FloatArray
    min: FloatArray
    max: FloatArray
    std: FloatArray
    score: FloatArray
    revision: IntArray = field(default_factory=lambda: _ABSENT)
    uncertain: IntArray = field(default_factory=lambda: _ABSENT)
    bad: IntArray = field(default_factory=lambda: _ABSENT)

    def __post_init__(self) -> None:
        for name in OPTIONAL_COLUMNS:
            if getattr(self, name) is _ABSENT:
                object.__setattr__(self, name, np.zeros(len(self.start_ms), np.int64))
        _columns_agree(self, self.series, {name: getattr(self, name) for name in AGGREGATE_COLUMNS})

    def __len__(self) -> int:
        return len(self.start_ms)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Aggregates:
        """Return the selected rows with the whole directory of series."""
        return Aggregates(self.series, *(getattr(self, name)[rows] for name in AGGREGATE_COLUMNS))

    def compact(self) -> Aggregates:
        """Return the same rows with only those series in the directory that have rows."""
        used, index = np.unique(self.series_index, return_inverse=True)
        if len(used) == len(self.series):
            return self
        columns = [getattr(self, name) for name in AGGREGATE_COLUMNS[1:]]
        return Aggregates(tuple(self.series[i] for i in used), index.astype(np.int64), *columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Aggregates]) -> Aggregates:
        """Return the rows of all parts in order, with one directory in the order of first occurrence."""
        if not parts:
            kinds = (np.float64 if name in FLOAT_COLUMNS else np.int64 for name in AGGREGATE_COLUMNS)
            empty: Any = [np.zeros(0, kind) for kind in kinds]
            return cls((), *empty)
        ids: dict[Series, int] = {}
        indexes = []
        for part in parts:
            own = np.array([ids.setdefault(series, len(ids)) for series in part.series], dtype=np.int64)
            indexes.append(own[part.series_index])
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in AGGREGATE_COLUMNS[1:]]
        return cls(tuple(ids), np.concatenate(indexes), *columns)


_ABSENT: IntArray = np.zeros(0, np.int64)
OPTIONAL_COLUMNS = ("revision", "uncertain", "bad")
"""Columns of aggregates that are omitted from messages while they are 0."""
FLOAT_COLUMNS = frozenset(("mean", "min", "max", "std", "score"))
"""Columns of aggregates that are float64; the others are int64."""
AGGREGATE_COLUMNS = (
    "series_index",
    "start_ms",
    "width_ms",
    "count",
    "mean",
    "min",
    "max",
    "std",
    "score",
    *OPTIONAL_COLUMNS,
)


Rows = Readings | Aggregates | Anomalies | Notice


@dataclass(frozen=True, slots=True)
class Batch:
    """Unit of transfer: rows, and the name (gateway, epoch, sequence) that makes storing them idempotent.

    ``epoch`` (unsigned 64 bit) is new after any loss of the sender's state; ``sequence`` counts from 1 within it.
    """

    gateway: str
    epoch: int
    sequence: int
    rows: Rows

    def __post_init__(self) -> None:
        check_name(self.gateway, self.epoch, self.sequence)
