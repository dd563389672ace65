"""Data model: series, readings, aggregates, anomalies, notices, and the batch that carries them.

Rows are columnar: one NumPy array per column, one element per row, and a directory of series that ``series_index``
refers to. Times are integer milliseconds since the epoch, UTC. Names follow SenML (RFC 8428, section 4.5.1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wire.errors import ModelError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ByteArray = npt.NDArray[np.uint8]

MAX_NAME = 128
MAX_CAUSES = 64
MAX_HISTORY = 64
MAX_SEQUENCE = 2**63 - 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")
_GATEWAY = re.compile(r"[A-Za-z0-9_:\-]{1,128}\Z")


class Quality(IntEnum):
    """Quality of a reading: the three severities of OPC UA status codes."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


@dataclass(frozen=True, slots=True)
class Series:
    """One measured channel of one device.

    ``resolution`` is the smallest step of the value in ``unit``, above 0, or None if unknown.
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
    """Return ``name`` if it is a valid gateway name (an AWS IoT thing name), else raise ModelError."""
    if not _GATEWAY.match(name):
        raise ModelError(f"gateway {name[:140]!r}: 1 to 128 of A-Z a-z 0-9 _ : -")
    return name


def check_name(gateway: str, epoch: int, sequence: int) -> str:
    """Return ``gateway`` if the three values are a valid batch name, else raise ModelError."""
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


class Phase(StrEnum):
    """Phase of an anomaly at the time of a report."""

    ONSET = "onset"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Report of an anomaly: a period in which the score of a series is above the alarm level.

    ``(series, onset_ms)`` identifies the anomaly; ``time_ms`` is the end of the window that caused this report.
    ``cause`` is the expert with the highest score, ``causes`` the score of each expert. Values are in the series' unit,
    None if unknown. An anomaly of a group names the ``channel`` that contributes most; the values are those of this
    channel. ``history`` holds the observed values of the last windows, oldest first.
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
    channel: str = ""
    history: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, without unknown ones."""
        values = {name: getattr(self, name) for name in self.__slots__}
        known = {name: value for name, value in values.items() if value not in (None, "", {}, ())}
        if self.history:
            known["history"] = list(self.history)
        return known | {"phase": str(self.phase), "cause": self.cause}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a report from JSON values; raises ModelError that names the missing or invalid key."""
        try:
            history = data.get("history", [])
            if not isinstance(history, list) or len(history) > MAX_HISTORY:
                raise ModelError(f"anomaly: history: a list of at most {MAX_HISTORY} numbers")
            causes = data.get("causes", {})
            if not isinstance(causes, dict) or len(causes) > MAX_CAUSES or not all(isinstance(c, str) for c in causes):
                raise ModelError(f"anomaly: causes: an object of at most {MAX_CAUSES} numbers")
            return cls(
                series=Series(_text(data, "series", MAX_NAME + 1)).name,
                phase=Phase(_text(data, "phase", 16)),
                onset_ms=_time(data, "onset_ms"),
                time_ms=_time(data, "time_ms"),
                score=_number(data, "score"),
                cause=_text(data, "cause", 64),
                direction=_text(data, "direction", 16, ""),
                observed=_number_or_none(data, "observed"),
                expected=_number_or_none(data, "expected"),
                lower=_number_or_none(data, "lower"),
                upper=_number_or_none(data, "upper"),
                causes={name[:64]: _number(causes, name, "causes: ") for name in causes},
                unit=_text(data, "unit", 32, ""),
                channel=_text(data, "channel", MAX_NAME, ""),
                history=tuple(_number({"history": value}, "history") for value in history),
            )
        except KeyError as error:
            raise ModelError(f"anomaly: {str(error.args[0])[:80]} is missing") from error
        except ValueError as error:
            raise ModelError(f"anomaly: {str(error)[:200]}") from error


def _text(data: Mapping[str, Any], key: str, longest: int, default: str | None = None) -> str:
    """Return a string, cut to ``longest`` characters: a long text is not a reason to reject a report."""
    value = data[key] if default is None else data.get(key, default)
    if not isinstance(value, str):
        raise ModelError(f"anomaly: {key}: {str(value)[:80]!r} is not text")
    return value[:longest]


def _time(data: Mapping[str, Any], key: str) -> int:
    value = data[key]
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ModelError(f"anomaly: {key}: {str(value)[:80]!r} is not a 64-bit integer of milliseconds")
    return value


def _number(data: Mapping[str, Any], key: str, within: str = "") -> float:
    value = data[key]
    if type(value) is int and abs(value) < 2**63:
        value = float(value)
    if not isinstance(value, float) or not math.isfinite(value):
        raise ModelError(f"anomaly: {within}{key[:64]}: {str(value)[:80]!r} is not a finite number")
    return value


def _number_or_none(data: Mapping[str, Any], key: str) -> float | None:
    return None if data.get(key) is None else _number(data, key)


@dataclass(frozen=True, slots=True)
class Anomalies:
    """Reports of anomalies; few and urgent, so objects instead of columns."""

    reports: tuple[Anomaly, ...]

    def __len__(self) -> int:
        return len(self.reports)


@dataclass(frozen=True, slots=True)
class Notice:
    """Status message of a gateway: its counters by component and the time of the report."""

    time_ms: int
    counters: Mapping[str, Mapping[str, int]]

    def __len__(self) -> int:
        return 1


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
