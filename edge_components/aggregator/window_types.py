"""Types that the modules of windowing share: settings, closed windows, and arrays of a snapshot. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wire.model import FloatArray, IntArray

NEVER = np.iinfo(np.int64).min // 4
"""A time before all others, from which a duration can be subtracted without overflow."""

BoolArray = npt.NDArray[np.bool_]
Arrays = dict[str, npt.NDArray[np.generic]]
"""Arrays by name, for a snapshot."""


def exported(owner: object, names: Mapping[str, str]) -> Arrays:
    """Return the arrays of ``owner``; ``names`` gives the attribute of each storage name."""
    return {stored: getattr(owner, name) for stored, name in names.items()}


def imported(owner: object, names: Mapping[str, str], arrays: Arrays, optional: Sequence[str] = ()) -> None:
    """Set the arrays of ``owner`` from :func:`exported`; a missing array named in ``optional`` is set to 0.

    Raises KeyError for another one that is missing, and ValueError for another type.
    """
    size = len(arrays[next(iter(names))])
    for stored, name in names.items():
        present = getattr(owner, name)
        missing = name in optional and stored not in arrays
        found = np.zeros(size, present.dtype) if missing else arrays[stored]
        if found.dtype != present.dtype or found.ndim != 1:
            raise ValueError(f"{stored}: {found.dtype} of {found.ndim} dimensions, expected {present.dtype}")
        setattr(owner, name, found)


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """Width of windows and the rules by which they close; milliseconds."""

    width_ms: int = 10_000
    lateness_ms: int = 1_000
    idle_ms: int = 10_000
    tolerance_ms: int = 10_000
    gap_windows: int = 3
    backlog_ms: int = 0
    """Age of late readings that are accepted, from the time up to which the series' windows are closed."""

    def to_dict(self) -> dict[str, int]:
        """Return the settings under their storage names."""
        return {stored: getattr(self, name) for stored, name in _STORED_SETTINGS.items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return settings from :meth:`to_dict`; raises KeyError or ValueError for other values."""
        present = (key for key in _STORED_SETTINGS if key in stored or key not in _ADDED)
        return cls(**{_STORED_SETTINGS[key]: int(stored[key]) for key in present})


_STORED_SETTINGS = {
    "width_ms": "width_ms",
    "lateness_ms": "lateness_ms",
    "idle_ms": "idle_ms",
    "tolerance_ms": "tolerance_ms",
    "gap_windows": "gap_windows",
    "backlog_ms": "backlog_ms",
}
"""Attributes by the names under which snapshots and journals have them."""
_ADDED = frozenset({"backlog_ms"})
"""Names that the first version did not have; their defaults are its behaviour."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Closed windows as columns, by series and then by start; ``std`` is that of the population.

    A row of count 0 (mean, min, max and std NaN) marks a gap: the series was expected to report and did not.
    ``revision`` is 0 for live windows; ``uncertain`` and ``bad`` are numbers of readings of this quality.
    """

    series_id: IntArray
    start_ms: IntArray
    width_ms: int
    count: IntArray
    mean: FloatArray
    min: FloatArray
    max: FloatArray
    std: FloatArray
    revision: IntArray
    uncertain: IntArray
    bad: IntArray

    def __len__(self) -> int:
        return len(self.start_ms)


def gap_rows(series_id: IntArray, start_ms: IntArray, width_ms: int) -> Closed:
    """Return rows of count 0."""
    none, zero = np.full(len(series_id), np.nan), np.zeros(len(series_id), np.int64)
    return Closed(series_id, start_ms, width_ms, zero, none, none, none, none, zero, zero, zero)
