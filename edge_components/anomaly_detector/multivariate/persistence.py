"""Persistence of a group's anomaly: the distance of the channels with which it began, in any direction.

Pure. The recovery detector follows the direction of an anomaly. A fault that changes its size, oscillates, or that a
controller compensates for in some channels, leaves this direction although the group is not normal. Therefore an
anomaly also lasts as long as the distance of its channels from the level before it is above the alarm level. Only
steady channels that deviated at the onset are counted: the others, such as a temperature that rises during the fault,
are replaced by their expectation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Arrays, BoolArray, FloatArray, read_array, saved_fields, stored
from edge_components.anomaly_detector.multivariate.baseline import Baseline

DEVIATED = 1.5
"""Distance, in spreads, from which a channel has deviated."""


@dataclass(slots=True)
class Persistence:
    """The deviation of an anomaly at its ``onset`` [2c]."""

    onset: FloatArray = stored("persistence.onset")

    @classmethod
    def empty(cls, channels: int) -> Persistence:
        """Return a persistence without an anomaly."""
        return cls(np.zeros(2 * channels))

    @classmethod
    def read(cls, arrays: Arrays, channels: int) -> Persistence:
        """Return the saved persistence, an empty one from the state of an earlier version, which did not save it.

        Raises ValueError if its layout is another."""
        name, fresh = saved_fields(cls)["onset"], cls.empty(channels)
        return cls(read_array(arrays, name, fresh.onset.shape, np.float64)) if name in arrays else fresh

    def begin(self, deviation: FloatArray) -> None:
        """Begin with the deviation [2c] of an anomaly's first row."""
        self.onset[:] = deviation

    def counted(self, baseline: Baseline) -> BoolArray:
        """Return the steady channels [c] that deviated at the onset."""
        deviated = (np.abs(self.onset) >= DEVIATED).reshape(2, -1).any(axis=0)
        return np.asarray(deviated & baseline.steady, np.bool_)


def distance_from(baseline: Baseline, means: FloatArray, levels: Sequence[FloatArray], counted: BoolArray) -> float:
    """Return the distance of the ``counted`` channels [c] from the nearest of ``levels``, 0 without such channels."""
    if not counted.any():
        return 0.0
    found = (baseline.level_distances(means, level, counted) for level in levels)
    return min(max(float(alone[counted].max()), together) for alone, together in found)
