"""The data that flows: series, readings, aggregates, anomalies, notices, and the batch that carries them.

Rows are columnar: one NumPy array a column, one element a row, and a directory of series that ``series_index`` points
into. Times are integer milliseconds since the epoch, UTC. Names follow SenML (RFC 8428, section 4.5.1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from wire.errors import ModelError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ByteArray = npt.NDArray[np.uint8]

MAX_NAME = 128
MAX_SEQUENCE = 2**63 - 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")
T = TypeVar("T")
_GATEWAY = re.compile(r"[A-Za-z0-9_:\-]{1,128}\Z")


class Quality(IntEnum):
    """How far a reading may be trusted; the three severities of OPC UA status codes."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


@dataclass(frozen=True, slots=True)
class Series:
    """One measured channel of one sensor.

    ``resolution`` is the smallest step of the value in ``unit``, above 0, or None where it is not known.
    Raises ModelError for a name, unit or resolution that is not allowed.
    """

    name: str
    unit: str = ""
    resolution: float | None = None

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME or not _NAME.match(self.name):
            raise ModelError(
                f"series name {self.name[:140]!r}: 1 to {MAX_NAME} of A-Z a-z 0-9 - : . / _, the first alphanumeric"
            )
        if len(self.unit.encode()) > 32 or not (self.unit == "" or self.unit.isprintable()):
            raise ModelError(f"series {self.name}: unit {self.unit[:40]!r}: at most 32 bytes, printable")
        if self.resolution is not None and not (math.isfinite(self.resolution) and self.resolution > 0):
            raise ModelError(f"series {self.name}: resolution {self.resolution!r}: finite and above 0, or absent")


def check_gateway(name: str) -> str:
    """Return ``name`` if it can be a gateway's name (an AWS IoT thing name), else raise ModelError."""
    if not _GATEWAY.match(name):
        raise ModelError(f"gateway {name[:140]!r}: 1 to 128 of A-Z a-z 0-9 _ : -")
    return name


def check_name(gateway: str, epoch: int, sequence: int) -> str:
    """Return ``gateway`` if the three can name a batch, else raise ModelError."""
    if not 0 <= epoch < 2**64:
        raise ModelError(f"epoch {epoch}: 0 to 2^64 - 1")
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise ModelError(f"sequence {sequence}: 1 to {MAX_SEQUENCE}")
    return check_gateway(gateway)


def _columns_agree(rows: object, series: Sequence[Series], columns: Mapping[str, npt.NDArray[Any]]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ModelError(f"{type(rows).__name__}: columns of different length: {lengths}")
    index = columns["series_index"]
    if len(index) and (int(index.min()) < 0 or int(index.max()) >= len(series)):
        raise ModelError(f"{type(rows).__name__}: series_index outside the directory of {len(series)} series")


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings as columns: what a sensor said, and when.

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
    """One row a series and window; windows are half-open, [start_ms, start_ms + width_ms).

    ``series_index``, ``start_ms``, ``width_ms``, ``count`` int64[n]; ``mean``, ``min``, ``max``, ``std`` (population)
    float64[n]. ``score`` float64[n]: at least 0, higher is more anomalous, 1.0 is the alarm level, NaN is not scored.
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

    def __post_init__(self) -> None:
        _columns_agree(self, self.series, {name: getattr(self, name) for name in AGGREGATE_COLUMNS})

    def __len__(self) -> int:
        return len(self.start_ms)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Aggregates:
        """Return the rows selected, with the whole directory of series."""
        return Aggregates(self.series, *(getattr(self, name)[rows] for name in AGGREGATE_COLUMNS))

    def compact(self) -> Aggregates:
        """Return the same rows with only those series in the directory that have one."""
        used, index = np.unique(self.series_index, return_inverse=True)
        if len(used) == len(self.series):
            return self
        columns = [getattr(self, name) for name in AGGREGATE_COLUMNS[1:]]
        return Aggregates(tuple(self.series[i] for i in used), index.astype(np.int64), *columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Aggregates]) -> Aggregates:
        """Return the rows of all parts in order, under one directory in the order of first mention."""
        places: dict[Series, int] = {}
        indexes = []
        for part in parts:
            own = np.array([places.setdefault(series, len(places)) for series in part.series], dtype=np.int64)
            indexes.append(own[part.series_index])
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in AGGREGATE_COLUMNS[1:]]
        return cls(tuple(places), np.concatenate(indexes), *columns)


AGGREGATE_COLUMNS = ("series_index", "start_ms", "width_ms", "count", "mean", "min", "max", "std", "score")


class Phase(StrEnum):
    """Where in its life an anomaly stands when it is reported."""

    ONSET = "onset"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One report of a stretch of a series in which the score stands above the level.

    ``(series, onset_ms)`` names the anomaly; ``time_ms`` is the end of the window that gave this report. ``cause`` is
    the expert that spoke loudest, ``causes`` each expert's score. Values are in the series' unit; None is not known.
    """

    series: str
    phase: Phase
    onset_ms: int
    time_ms: int
    score: float
    cause: str
    direction: str = ""
    observed: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    causes: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, without those that are not known."""
        known = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) not in (None, "", {})}
        return known | {"phase": str(self.phase)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a report from JSON values; raises ModelError and names the key that is missing or wrong."""
        try:
            series = Series(_typed(data, "series", str)).name
            score = _finite(data, "score")
            if score is None:
                raise ModelError("anomaly: score is missing")
            return cls(
                series=series,
                phase=Phase(data["phase"]),
                onset_ms=_typed(data, "onset_ms", int),
                time_ms=_typed(data, "time_ms", int),
                score=score,
                cause=_typed(data, "cause", str)[:64],
                direction=str(data.get("direction", ""))[:16],
                observed=_finite(data, "observed"),
                expected=_finite(data, "expected"),
                lower=_finite(data, "lower"),
                upper=_finite(data, "upper"),
                causes={str(k)[:64]: float(v) for k, v in dict(data.get("causes", {})).items()},
                unit=str(data.get("unit", ""))[:32],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"anomaly: {type(error).__name__}: {str(error)[:200]}") from error


def _typed(data: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = data[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ModelError(f"anomaly: {key}: {str(value)[:80]!r} is no {kind.__name__}")
    return value


def _finite(data: Mapping[str, Any], key: str) -> float | None:
    if data.get(key) is None:
        return None
    value = float(data[key])
    if not math.isfinite(value):
        raise ModelError(f"anomaly: {key}: {value} is not finite")
    return value


@dataclass(frozen=True, slots=True)
class Anomalies:
    """Reports of anomalies; few and urgent, so objects and not columns."""

    reports: tuple[Anomaly, ...]

    def __len__(self) -> int:
        return len(self.reports)


@dataclass(frozen=True, slots=True)
class Notice:
    """What a gateway says of itself: its counters by component, and the time it said so."""

    time_ms: int
    counters: Mapping[str, Mapping[str, int]]

    def __len__(self) -> int:
        return 1


Rows = Readings | Aggregates | Anomalies | Notice


@dataclass(frozen=True, slots=True)
class Batch:
    """The encoded unit of transfer: rows, and the name (gateway, epoch, sequence) that makes their storage idempotent.

    ``epoch`` (unsigned 64 bit) is new after any loss of the sender's state; ``sequence`` counts from 1 within it.
    """

    gateway: str
    epoch: int
    sequence: int
    rows: Rows

    def __post_init__(self) -> None:
        check_name(self.gateway, self.epoch, self.sequence)
