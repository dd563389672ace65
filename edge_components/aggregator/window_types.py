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

MAX_OVERLAP = 60
"""Windows that a reading can be in."""

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
class Shape:
    """Length of windows, and the hop between their starts: the length in tumbling windows, a fraction in sliding ones.

    Raises ValueError for a length that is not a multiple of the hop.
    """

    length_ms: int
    hop_ms: int

    def __post_init__(self) -> None:
        if not 0 < self.hop_ms <= self.length_ms <= MAX_OVERLAP * self.hop_ms or self.length_ms % self.hop_ms:
            raise ValueError(f"windows of {self.length_ms} ms with a hop of {self.hop_ms} ms")

    @property
    def overlap(self) -> int:
        """Number of windows that a reading is in."""
        return self.length_ms // self.hop_ms


Shapes = tuple[tuple[str, Shape], ...]
"""Shapes by a glob over series' names."""

StatisticRules = tuple[tuple[str, tuple[str, ...]], ...]
"""Names of statistics, such as ``last`` or ``p95``, by a glob over series' names."""


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """Width of windows and the rules by which they close; milliseconds."""

    width_ms: int = 10_000
    """Length of the windows of series that no glob of ``shapes`` matches."""
    lateness_ms: int = 1_000
    idle_ms: int = 10_000
    tolerance_ms: int = 10_000
    gap_windows: int = 3
    backlog_ms: int = 0
    """Age of late readings that are accepted, from the time up to which the series' windows are closed."""
    shapes: Shapes = ()
    statistics: StatisticRules = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the settings under their storage names."""
        shapes = [[glob, shape.length_ms, shape.hop_ms] for glob, shape in self.shapes]
        statistics = [[glob, list(names)] for glob, names in self.statistics]
        numbers = {stored: getattr(self, name) for stored, name in _STORED_SETTINGS.items()}
        return numbers | {_STORED_SHAPES: shapes, _STORED_STATISTICS: statistics}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return settings from :meth:`to_dict`; raises KeyError, TypeError or ValueError for other values."""
        present = (key for key in _STORED_SETTINGS if key in stored or key not in _ADDED)
        numbers = {_STORED_SETTINGS[key]: int(stored[key]) for key in present}
        shapes = ((str(glob), Shape(int(length), int(hop))) for glob, length, hop in stored.get(_STORED_SHAPES, ()))
        statistics = ((str(glob), tuple(map(str, names))) for glob, names in stored.get(_STORED_STATISTICS, ()))
        return cls(**numbers, shapes=tuple(shapes), statistics=tuple(statistics))


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
_STORED_SHAPES = "shapes"
"""Name that the first versions did not have: all series had windows of one width."""
_STORED_STATISTICS = "statistics"
"""Name that earlier versions did not have."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Closed windows as columns, by series and then by start; ``std`` is that of the population.

    A row of count 0 (mean, min, max and std NaN) marks a gap: the series was expected to report and did not.
    ``revision`` is 0 for live windows; ``uncertain`` and ``bad`` are numbers of readings of this quality.
    """

    series_id: IntArray
    start_ms: IntArray
    width_ms: IntArray
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
