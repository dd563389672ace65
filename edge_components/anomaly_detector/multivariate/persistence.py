"""Persistence of a group's anomaly: the distance of the channels with which it began, in any direction.

Pure. The recovery detector follows the direction of an anomaly. A fault that oscillates, or that a controller
compensates for in some channels, leaves this direction although the group is not normal. Therefore an anomaly also
lasts as long as the distance of its channels from the level before it is above the alarm level, and near its usual and
its first value. Only steady channels that deviated at the onset are counted: the others, such as a temperature that
rises during the fault, are replaced by their expectation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import (
    Arrays,
    BoolArray,
    FloatArray,
    push,
    read_array,
    saved_fields,
    stored,
)
from edge_components.anomaly_detector.multivariate.baseline import Baseline
from edge_components.anomaly_detector.multivariate.recovery import FIRST_ROWS, PLATEAU_ROWS

STEADY = 0.1
"""Degree of wandering (0 to 1) below which a channel is steady; independent rows have 0."""
NEAR_FRACTION = 0.7
"""Fraction of its usual and of its first distance above which an anomaly lasts; a slow recovery is below it."""
DEVIATED = 1.5
"""Distance, in spreads, from which a channel has deviated at the onset."""


@dataclass(slots=True)
class Persistence:
    """The deviation of an anomaly at its ``onset`` [2c], its last ``distances`` [PLATEAU_ROWS], NaN where unknown, and
    in ``first`` [1] the mean of its first ones."""

    onset: FloatArray = stored("persistence.onset")
    distances: FloatArray = stored("persistence.distances")
    first: FloatArray = stored("persistence.first")

    @classmethod
    def empty(cls, channels: int) -> Persistence:
        """Return a persistence without an anomaly."""
        return cls(np.zeros(2 * channels), np.full(PLATEAU_ROWS, np.nan), np.zeros(1))

    @classmethod
    def read(cls, arrays: Arrays, channels: int) -> Persistence:
        """Return the saved persistence, an empty one from the state of an earlier version, which did not save it.

        Raises ValueError if its layout is another."""
        fresh, names = cls.empty(channels), saved_fields(cls)
        if not any(name in arrays for name in names.values()):
            return fresh
        likes = {field: getattr(fresh, field) for field in names}
        return cls(**{field: read_array(arrays, names[field], like.shape, like.dtype) for field, like in likes.items()})

    def begin(self, deviation: FloatArray) -> None:
        """Begin with the deviation [2c] of an anomaly's first row."""
        self.onset[:], self.distances[:], self.first[:] = deviation, np.nan, 0.0

    def counted(self, baseline: Baseline) -> BoolArray:
        """Return the steady channels [c] that deviated at the onset."""
        deviated = (np.abs(self.onset) >= DEVIATED).reshape(2, -1).any(axis=0)
        return np.asarray(deviated & (baseline.wander < STEADY), np.bool_)

    def lasts(self, distance: float, row: int, alarm_level: float) -> bool:
        """Process the ``distance`` of an anomaly's ``row`` (from 1) and return whether the anomaly lasts."""
        push(self.distances, distance)
        if row <= FIRST_ROWS:
            self.first += (distance - self.first) / row
        usual = max(float(np.nanmedian(self.distances)), float(self.first[0]))
        return distance >= max(alarm_level, NEAR_FRACTION * usual)


def distance_from(baseline: Baseline, means: FloatArray, levels: list[FloatArray], counted: BoolArray) -> float:
    """Return the distance of the ``counted`` channels [c] from the nearest of ``levels``, 0 without such channels."""
    if not counted.any():
        return 0.0
    found = (baseline.level_distances(means, level, counted) for level in levels)
    return min(max(float(alone[counted].max()), together) for alone, together in found)
