"""Structured values of the aggregator's configuration: each function returns a validated value. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edge_components.aggregator.deadband import Deadband, Deadbands
from edge_components.aggregator.series_table import Ranges
from edge_components.aggregator.units import Linear, UnitRule, UnitRules, between, known
from edge_components.aggregator.window_statistics import LAST, thousandths
from edge_components.aggregator.window_types import MAX_OVERLAP, Shape, Shapes, StatisticRules
from wire.errors import ModelError
from wire.model import Series

RANGES = "an object from globs to [lowest, highest], two numbers, the first not above the second"

WINDOWS = (
    "an object from globs to milliseconds from 100 to 86400000, or to {length_ms, hop_ms}, where length_ms is "
    f"at most {MAX_OVERLAP} times hop_ms and a multiple of it"
)

DEADBANDS = (
    "an object from globs to {change, max_silence_ms}: a number of at least 0, and milliseconds from 100 to 86400000"
)

MAX_STATISTICS = 8
"""Statistics of a series."""

STATISTICS = (
    f'an object from globs to lists of at most {MAX_STATISTICS} of "last" and percentiles from "p1" to "p99_9" '
    "(99.9 %), each once"
)

MAX_SILENCE_MS = 600_000
"""Longest time between two reports where a deadband does not state it."""

UNITS = (
    "an object from globs to a unit of the table in README.md, or to {unit, from} of the same dimension, or to "
    "{unit, factor, offset} with a factor other than 0"
)
_UNIT_KEYS = ({"unit"}, {"unit", "from"}, {"unit", "factor"}, {"unit", "factor", "offset"})

POSITIVE_NUMBERS = "an object from globs to numbers above 0"


def read_ranges(value: Any) -> Ranges:
    """Return ranges by glob. Raises ValueError with what is allowed."""
    if not isinstance(value, Mapping):
        raise ValueError(RANGES)
    return {str(glob): _range(str(glob), given) for glob, given in value.items()}


def read_shapes(value: Any) -> Shapes:
    """Return shapes of windows by glob. Raises ValueError with what is allowed."""
    if not isinstance(value, Mapping):
        raise ValueError(WINDOWS)
    return tuple(sorted((str(glob), _shape(str(glob), given)) for glob, given in value.items()))


def _shape(glob: str, given: Any) -> Shape:
    keys = {"length_ms", "hop_ms"}
    length, hop = (
        (given["length_ms"], given["hop_ms"]) if isinstance(given, Mapping) and set(given) == keys else (given, given)
    )
    try:
        shape = Shape(_milliseconds(length), _milliseconds(hop))
    except ValueError as error:
        raise ValueError(f"{WINDOWS} (see {glob[:80]!r})") from error
    return shape


def _milliseconds(given: Any) -> int:
    if isinstance(given, str) and given.strip().isdecimal():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 100 <= given <= 86_400_000 or given % 1:
        raise ValueError(f"{given!r}: milliseconds from 100 to 86400000")
    return int(given)


def read_deadbands(value: Any) -> Deadbands:
    """Return deadbands by glob. Raises ValueError with what is allowed."""
    if not isinstance(value, Mapping):
        raise ValueError(DEADBANDS)
    return {str(glob): _deadband(str(glob), given) for glob, given in value.items()}


def _deadband(glob: str, given: Any) -> Deadband:
    if isinstance(given, Mapping) and "change" in given and set(given) <= {"change", "max_silence_ms"}:
        try:
            change, silence = _finite(given["change"]), _milliseconds(given.get("max_silence_ms", MAX_SILENCE_MS))
        except ValueError as error:
            raise ValueError(f"{DEADBANDS} (see {glob[:80]!r})") from error
        if change >= 0:
            return Deadband(change, silence)
    raise ValueError(f"{DEADBANDS} (see {glob[:80]!r})")


def read_units(value: Any) -> UnitRules:
    """Return conversions by glob. Raises ValueError with what is allowed."""
    if not isinstance(value, Mapping):
        raise ValueError(UNITS)
    return {str(glob): _unit(str(glob), given) for glob, given in value.items()}


def _unit(glob: str, given: Any) -> UnitRule:
    given = {"unit": given} if isinstance(given, str) else given
    try:
        if not isinstance(given, Mapping) or set(given) not in _UNIT_KEYS or not given["unit"]:
            raise ValueError(glob)
        unit = str(Series("x", str(given["unit"])).unit)
        if "factor" in given:
            factor, offset = _finite(given["factor"]), _finite(given.get("offset", 0))
            if factor == 0:
                raise ValueError("a factor of 0")
            return UnitRule(unit, linear=Linear(factor, offset))
        source = str(given.get("from", ""))
        if not known(unit) or (source and between(source, unit) is None):
            raise ValueError(f"no conversion to {unit}")
    except (ValueError, ModelError) as error:
        raise ValueError(f"{UNITS} (see {glob[:80]!r})") from error
    return UnitRule(unit, source)


def _finite(given: Any) -> float:
    number = math.nan if isinstance(given, bool) or not isinstance(given, int | float | str) else float(given)
    if not math.isfinite(number):
        raise ValueError(f"{given!r}: a finite number")
    return number


def read_positive_numbers(value: Any) -> Mapping[str, float]:
    """Return numbers above 0 by glob. Raises ValueError with what is allowed."""
    if not isinstance(value, Mapping):
        raise ValueError(POSITIVE_NUMBERS)
    return {str(glob): _positive_number(str(glob), given) for glob, given in value.items()}


def _positive_number(glob: str, given: Any) -> float:
    try:
        number = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{POSITIVE_NUMBERS} (see {glob[:80]!r})")
    return number


def _range(glob: str, given: Any) -> tuple[float, float]:
    if isinstance(given, list | tuple) and len(given) == 2 and not any(isinstance(end, bool) for end in given):
        try:
            low, high = float(given[0]), float(given[1])
        except (TypeError, ValueError, OverflowError):
            low, high = math.nan, math.nan
        if low <= high:
            return low, high
    raise ValueError(f"{RANGES} (see {glob[:80]!r})")


def read_statistics(value: Any) -> StatisticRules:
    """Return the statistics by glob, sorted; raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(STATISTICS)
    found = []
    for glob, names in value.items():
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise ValueError(STATISTICS)
        if len(names) > MAX_STATISTICS or len(set(names)) < len(names):
            raise ValueError(STATISTICS)
        try:
            for name in names:
                if name != LAST:
                    thousandths(name)
        except ValueError as error:
            raise ValueError(f"{error}; {STATISTICS}") from error
        found.append((str(glob), tuple(names)))
    return tuple(sorted(found))
