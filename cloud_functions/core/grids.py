"""Grids of values: columns of roll-ups as small integers, which take fewer bytes than doubles.

A grid maps values to cells and cells to values; :meth:`Grid.round` moves values to the nearest one that has a cell. The
grids of a roll-up's columns are finer than those by which the rows were sent (wire/FORMAT.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wire.model import Aggregates, FloatArray, IntArray

NONE, ZERO = -(2**62), -(2**62) + 1
"""Cells of NaN, and of zero on a logarithmic grid."""
MAX_CELL = 2**52


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid: functions from values to cells, which need not be whole, and from cells to values."""

    to_cells: Callable[[FloatArray, FloatArray], FloatArray]
    to_values: Callable[[FloatArray, FloatArray], FloatArray]
    logarithmic: bool = False

    def cells(self, values: FloatArray, rows: Aggregates) -> IntArray | None:
        """Return the cells of values, or None if a value has none that restores it to the bit."""
        found = self._cells(values, _resolutions(rows))
        if found is None or self.values(found, rows).tobytes() != values.tobytes():
            return None
        return found

    def values(self, cells: IntArray, rows: Aggregates) -> FloatArray:
        """Return the values of cells."""
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            values = self.to_values(cells.astype(np.float64), _resolutions(rows))
        return np.where(cells == NONE, np.nan, np.where(cells == ZERO, 0.0, values))

    def round(self, values: FloatArray, rows: Aggregates) -> FloatArray:
        """Return the values at the nearest points of the grid; unchanged where it has none."""
        found = self._cells(values, _resolutions(rows))
        return values if found is None else self.values(found, rows)

    def _cells(self, values: FloatArray, resolutions: FloatArray) -> IntArray | None:
        none = np.isnan(values)
        zero = (values == 0) & self.logarithmic
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            cells = np.where(none | zero, 0.0, np.rint(self.to_cells(values, resolutions)))
        if not (np.abs(cells) <= MAX_CELL).all():  # also not for NaN: a series without a resolution
            return None
        return np.where(none, NONE, np.where(zero, ZERO, cells.astype(np.int64)))


def _resolutions(rows: Aggregates) -> FloatArray:
    known = np.array([np.nan if one.resolution is None else one.resolution for one in rows.series], np.float64)
    return known[rows.series_index]


def _per_unit(resolutions: FloatArray) -> FloatArray:
    """Return the number of steps in 1, where it is whole, else 1 over the step."""
    whole = np.rint(1 / resolutions)
    return np.where(np.abs(whole * resolutions - 1) < 1e-9, whole, 1 / resolutions)


def _linear(parts: int) -> Grid:
    """Return the grid of multiples of the resolution divided by ``parts``."""
    return Grid(
        lambda values, resolutions: values * (_per_unit(resolutions) * parts),
        lambda cells, resolutions: cells / (_per_unit(resolutions) * parts),
    )


def _logarithmic(parts: int, offset: float) -> Grid:
    """Return the grid of 2^(c / parts) - offset."""
    return Grid(
        lambda values, _: np.log2(values + offset) * parts,
        lambda cells, _: np.exp2(cells / parts) - offset,
        logarithmic=not offset,
    )


GRIDS = {
    "min": _linear(1),
    "max": _linear(1),
    "mean": _linear(100),
    "std": _logarithmic(256, 0.0),
    "score": _logarithmic(32, 1.0),
}
"""By column: extremes are exact multiples of the resolution, a mean is rounded to half a hundredth of it, a standard
deviation to 0.14 %; a score is one of the wire's."""
