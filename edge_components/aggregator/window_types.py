"""Types that the modules of windowing share: settings, closed windows, and arrays of a snapshot. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wire.model import FloatArray, IntArray

NEVER = np.iinfo(np.int64).min // 4
"""Before every time, with room to subtract from it."""

BoolArray = npt.NDArray[np.bool_]
Arrays = dict[str, npt.NDArray[np.generic]]
"""Arrays by name, for a snapshot."""


def exported(prefix: str, owner: object, names: Sequence[str]) -> Arrays:
    """Return the arrays of ``owner`` under these names."""
    return {prefix + name: getattr(owner, name) for name in names}


def imported(prefix: str, owner: object, names: Sequence[str], arrays: Arrays) -> None:
    """Set the arrays of ``owner``; raises KeyError for one that is missing, ValueError for another type."""
    for name in names:
        found, present = arrays[prefix + name], getattr(owner, name)
        if found.dtype != present.dtype or found.ndim != 1:
            raise ValueError(f"{prefix}{name}: {found.dtype} of {found.ndim} dimensions, expected {present.dtype}")
        setattr(owner, name, found)


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """Width of windows and the rules by which they close; milliseconds."""

    width_ms: int = 10_000
    lateness_ms: int = 1_000
    idle_ms: int = 10_000
    tolerance_ms: int = 10_000
    gap_windows: int = 3


@dataclass(frozen=True, slots=True)
class Closed:
    """Closed windows as columns, by series and then by start; ``std`` is that of the population.

    A row of count 0 (mean, min, max and std NaN) marks a gap: the series was expected to report and did not.
    """

    series_id: IntArray
    start_ms: IntArray
    width_ms: int
    count: IntArray
    mean: FloatArray
    min: FloatArray
    max: FloatArray
    std: FloatArray

    def __len__(self) -> int:
        return len(self.start_ms)


def gap_rows(series_id: IntArray, start_ms: IntArray, width_ms: int) -> Closed:
    """Return rows of count 0."""
    nothing = [np.full(len(series_id), np.nan) for _ in range(4)]
    return Closed(series_id, start_ms, width_ms, np.zeros(len(series_id), np.int64), *nothing)
