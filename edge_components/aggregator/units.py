"""Conversion between units: a table of common ones, and factors and offsets from the configuration. Pure.

A unit belongs to one dimension, and its factor and offset lead to the dimension's first unit. Names follow SenML (RFC
8428) and UCUM where these have one; usual spellings are accepted, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_components.common.patterns import longest_match
from wire.model import Readings, Series

_INCH, _POUND, _GALLON, _PSI = 0.0254, 0.45359237, 0.003785411784, 6894.757293168361
_FAHRENHEIT = (5 / 9, 459.67 * 5 / 9)

DIMENSIONS: Mapping[str, Mapping[str, float | tuple[float, float]]] = {
    "temperature": {"K": 1.0, "Cel": (1.0, 273.15), "degF": _FAHRENHEIT, "degR": 5 / 9},
    "pressure": {
        "Pa": 1.0,
        "hPa": 100.0,
        "mbar": 100.0,
        "kPa": 1e3,
        "MPa": 1e6,
        "bar": 1e5,
        "psi": _PSI,
        "atm": 101_325.0,
        "mmHg": 133.322387415,
        "inHg": 3386.389,
        "mmH2O": 9.80665,
        "inH2O": 249.08891,
    },
    "length": {
        "m": 1.0,
        "um": 1e-6,
        "mm": 1e-3,
        "cm": 1e-2,
        "km": 1e3,
        "in": _INCH,
        "ft": 12 * _INCH,
        "yd": 36 * _INCH,
        "mi": 1609.344,
    },
    "area": {"m2": 1.0, "cm2": 1e-4, "mm2": 1e-6, "ft2": (12 * _INCH) ** 2, "in2": _INCH**2},
    "volume": {"m3": 1.0, "l": 1e-3, "ml": 1e-6, "gal": _GALLON, "ft3": (12 * _INCH) ** 3},
    "flow": {
        "m3/s": 1.0,
        "m3/h": 1 / 3600,
        "l/s": 1e-3,
        "l/min": 1e-3 / 60,
        "l/h": 1e-3 / 3600,
        "gal/min": _GALLON / 60,
        "ft3/min": (12 * _INCH) ** 3 / 60,
    },
    "speed": {
        "m/s": 1.0,
        "mm/s": 1e-3,
        "km/h": 1 / 3.6,
        "mi/h": 0.44704,
        "kn": 1852 / 3600,
        "ft/s": 12 * _INCH,
        "ft/min": 12 * _INCH / 60,
        "in/s": _INCH,
    },
    "acceleration": {"m/s2": 1.0, "g0": 9.80665, "ft/s2": 12 * _INCH},
    "mass": {"kg": 1.0, "mg": 1e-6, "g": 1e-3, "t": 1e3, "lb": _POUND, "oz": _POUND / 16},
    "force": {"N": 1.0, "kN": 1e3, "kgf": 9.80665, "lbf": _POUND * 9.80665},
    "torque": {"N.m": 1.0, "lbf.ft": _POUND * 9.80665 * 12 * _INCH, "lbf.in": _POUND * 9.80665 * _INCH},
    "energy": {
        "J": 1.0,
        "kJ": 1e3,
        "MJ": 1e6,
        "Wh": 3.6e3,
        "kWh": 3.6e6,
        "MWh": 3.6e9,
        "BTU": 1055.05585262,
        "cal": 4.184,
        "kcal": 4184.0,
    },
    "power": {"W": 1.0, "mW": 1e-3, "kW": 1e3, "MW": 1e6, "hp": 745.6998715822702, "BTU/h": 1055.05585262 / 3600},
    "voltage": {"V": 1.0, "uV": 1e-6, "mV": 1e-3, "kV": 1e3},
    "current": {"A": 1.0, "uA": 1e-6, "mA": 1e-3, "kA": 1e3},
    "resistance": {"Ohm": 1.0, "mOhm": 1e-3, "kOhm": 1e3, "MOhm": 1e6},
    "frequency": {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9, "1/min": 1 / 60},
    "time": {"s": 1.0, "us": 1e-6, "ms": 1e-3, "min": 60.0, "h": 3600.0, "d": 86_400.0},
    "angle": {"rad": 1.0, "deg": np.pi / 180},
    "conductivity": {"S/m": 1.0, "mS/cm": 0.1, "uS/cm": 1e-4},
    "ratio": {"/": 1.0, "%": 1e-2, "ppm": 1e-6, "ppb": 1e-9},
}
"""Units by dimension: the factor to its first unit, with an offset where there is one."""

_SPELLINGS = {
    "°C": "Cel",
    "degC": "Cel",
    "℃": "Cel",
    "celsius": "Cel",
    "°F": "degF",
    "℉": "degF",
    "fahrenheit": "degF",
    "[degF]": "degF",
    "[psi]": "psi",
    "PSI": "psi",
    "L": "l",
    "mL": "ml",
    "m³": "m3",
    "ft³": "ft3",
    "m²": "m2",
    "ft²": "ft2",
    "m³/h": "m3/h",
    "L/min": "l/min",
    "L/s": "l/s",
    "L/h": "l/h",
    "gpm": "gal/min",
    "cfm": "ft3/min",
    "mph": "mi/h",
    "kph": "km/h",
    "kmh": "km/h",
    "m/s²": "m/s2",
    "Nm": "N.m",
    "rpm": "1/min",
    "Ω": "Ohm",
    "kΩ": "kOhm",
    "°": "deg",
    "µA": "uA",
    "µm": "um",
    "µS/cm": "uS/cm",
    "μS/cm": "uS/cm",
    "lbs": "lb",
    "sec": "s",
    "hr": "h",
}
_UNITS = {
    unit: (dimension, *(scale if isinstance(scale, tuple) else (scale, 0.0)))
    for dimension, units in DIMENSIONS.items()
    for unit, scale in units.items()
}
_MAX_CACHED = 65_536


@dataclass(frozen=True, slots=True)
class Linear:
    """Conversion of a value: times ``factor``, plus ``offset``."""

    factor: float
    offset: float


UNCHANGED = Linear(1.0, 0.0)


@dataclass(frozen=True, slots=True)
class UnitRule:
    """Conversion to ``unit``: by factor and offset, or from ``source``, or from the unit that the series has."""

    unit: str
    source: str = ""
    linear: Linear | None = None


UnitRules = Mapping[str, UnitRule]
"""Conversions by a glob over series' names."""


def known(unit: str) -> bool:
    """Return whether the table has a unit."""
    return _SPELLINGS.get(unit, unit) in _UNITS


def between(source: str, target: str) -> Linear | None:
    """Return the conversion between two units, None where the table has none."""
    if source == target:
        return UNCHANGED
    found = [_UNITS.get(_SPELLINGS.get(unit, unit)) for unit in (source, target)]
    if found[0] is None or found[1] is None or found[0][0] != found[1][0]:
        return None
    (_, factor, offset), (_, target_factor, target_offset) = found[0], found[1]
    return Linear(factor / target_factor, (offset - target_offset) / target_factor)


class UnitConverter:
    """Converts readings to the units that the configuration gives their series."""

    def __init__(self, rules: UnitRules) -> None:
        self._rules = rules
        self._cache: dict[Series, tuple[Series, Linear | None]] = {}
        self.inconvertible: dict[Series, int] = {}
        """Series of the last batch whose unit cannot be converted, with the number of their readings."""

    def rescaled(self, other: UnitConverter, known: Sequence[Series]) -> list[str]:
        """Return the names of the series whose values ``other`` converts differently, but to the same unit.

        ``known`` are the series of which this converter has converted none if it has no rules.
        """
        names = []
        for source in self._cache if self._rules else known:
            series, linear = _converted(source, self._rules)
            after, changed = _converted(source, other._rules)
            if after.unit == series.unit and (changed or UNCHANGED) != (linear or UNCHANGED):
                names.append(series.name)
        return names

    def convert(self, readings: Readings) -> Readings:
        """Return the readings in the configured units."""
        self.inconvertible = {}
        if not self._rules:
            return readings
        found = [self._of(one) for one in readings.series]
        series = tuple(one for one, _ in found)
        for at, (one, linear) in enumerate(found):
            if linear is None:
                self.inconvertible[one] = int(np.count_nonzero(readings.series_index == at))
        applied = [linear or UNCHANGED for _, linear in found]
        if all(linear == UNCHANGED for linear in applied):
            return replace(readings, series=series)
        factor, offset = np.array([(linear.factor, linear.offset) for linear in applied])[readings.series_index].T
        return replace(readings, series=series, value=readings.value * factor + offset)

    def _of(self, series: Series) -> tuple[Series, Linear | None]:
        cached = self._cache.get(series)
        if cached is None:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            cached = self._cache[series] = _converted(series, self._rules)
        return cached


def _converted(series: Series, rules: UnitRules) -> tuple[Series, Linear | None]:
    glob = longest_match(series.name, rules)
    if glob is None:
        return series, UNCHANGED
    rule = rules[glob]
    linear = rule.linear or between(rule.source or series.unit, rule.unit)
    if linear is None:
        return series, None
    resolution = None if series.resolution is None else series.resolution * abs(linear.factor)
    return Series(series.name, rule.unit, resolution), linear
