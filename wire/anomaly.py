"""Reports of anomalies, and notices of a gateway. Imports no NumPy, because functions that decode no rows use it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from wire.errors import ModelError
from wire.names import MAX_NAME, Series

MAX_CAUSES = 64
MAX_HISTORY = 64
MAX_VERSION = 64


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


def is_version(text: str) -> bool:
    """Return True for a text that can be the version of a component."""
    return 1 <= len(text) <= MAX_VERSION and text.isascii() and text.isprintable()


@dataclass(frozen=True, slots=True)
class Notice:
    """Status message of a gateway: the counters and the versions of its components, and the time of the report.

    Gateways before version 0.1.0 report no versions.
    """

    time_ms: int
    counters: Mapping[str, Mapping[str, int]]
    versions: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return 1
