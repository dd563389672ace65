"""Recovery detector: the end of a group's anomaly, when half of the deviation has disappeared.

Pure. A row is described by a deviation vector with two numbers for each channel: its distance from the level before the
anomaly, and its increase of roughness, in spreads. The remaining fraction of the anomaly is a weighted mean over the
channels that deviated, each by the fraction of its own deviation that is left. Beyond ``CLEAR`` spreads all have the
same weight, and channels that wander by themselves have little: a temperature that follows slowly does not delay the
end, but a fault in the temperature alone is decided by the temperature alone. The vector is compared with two
references: that of the first rows, and that of the last ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray, push, stored

FIRST_ROWS = 10
"""Rows of the first reference; slow channels have not moved far in them."""
PLATEAU_ROWS = 80
"""Number of rows whose median is the second reference."""
KNOWN_ROWS = 20
"""Number of rows after which the second reference is used."""
END_FRACTION = 0.5
"""The anomaly has ended when less than this fraction is left"""
END_ROWS = 6
"""for this number of consecutive rows."""
MIN_PLATEAU = 0.9
"""Lower bound of the fraction of the first reference that is usual later."""
CHANCE = 2.0
"""Deviations of the remaining fraction by chance that count as uncertainty."""
CLEAR = 5.0
SLOW = 0.9
"""Reduction of the weight of a channel that wanders by itself."""


@dataclass(slots=True)
class RecoveryDetector:
    """The ``first`` deviation [2c] of an anomaly, the last ``deviations`` [PLATEAU_ROWS, 2c], the fraction of the first
    in each (``fraction``), and in ``numbers`` the rows of the anomaly and the last rows with less than half."""

    first: FloatArray = stored("course.first")
    deviations: FloatArray = stored("course.looks")
    fraction: FloatArray = stored("course.gone")
    numbers: FloatArray = stored("course.numbers")

    @classmethod
    def empty(cls, channels: int) -> RecoveryDetector:
        """Return a detector without an anomaly."""
        deviations = np.full((PLATEAU_ROWS, 2 * channels), np.nan)
        return cls(np.zeros(2 * channels), deviations, np.full(PLATEAU_ROWS, np.nan), np.zeros(2))

    @property
    def lasted(self) -> int:
        """Rows of the anomaly."""
        return int(self.numbers[0])

    def begin(self, deviation: FloatArray) -> None:
        """Begin with the deviation of an anomaly's first row."""
        self.first[:] = deviation
        self.deviations[:], self.fraction[:], self.numbers[:] = np.nan, np.nan, 0.0

    def ended(self, deviation: FloatArray, wander: FloatArray, back: bool, lasts: bool = False) -> bool:
        """Process the deviation of a row and return whether the anomaly has ended; ``wander`` [c] is the degree to
        which channels wander by themselves, 0 to 1, ``back`` whether all are at the level before, and ``lasts``
        whether its channels are still far from it, in any direction."""
        self.numbers[0] += 1
        if self.lasted <= FIRST_ROWS:
            self.first += (deviation - self.first) / (self.lasted + 1)
        push(self.deviations, deviation)
        push(self.fraction, _remaining(deviation, self.first, _weights(wander))[0])
        (first, chance), (usual, usual_chance) = self._remaining(deviation, wander)
        half = first + chance < END_FRACTION or (self.lasted >= KNOWN_ROWS and usual + usual_chance < END_FRACTION)
        self.numbers[1] = self.numbers[1] + 1 if back or (half and not lasts) else 0
        return bool(self.numbers[1] >= END_ROWS)

    def has_returned(self, deviation: FloatArray, wander: FloatArray) -> bool:
        """Return whether more than half of an anomaly that had ended is present again."""
        return all(left > END_FRACTION for left, _ in self._remaining(deviation, wander))

    def resume(self) -> None:
        """Continue the anomaly that had ended."""
        self.numbers[1] = 0

    def _remaining(self, deviation: FloatArray, wander: FloatArray) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the remaining fraction and its uncertainty, by the first reference and by the last rows."""
        kept, weights = min(self.lasted, PLATEAU_ROWS), _weights(wander)
        left, chance = _remaining(deviation, self.first, weights)
        plateau = max(float(np.median(self.fraction[-kept:])), MIN_PLATEAU)
        usual = np.median(self.deviations[-kept:], axis=0)
        return (left / plateau, chance / plateau), _remaining(deviation, usual, weights)


def _weights(wander: FloatArray) -> FloatArray:
    return np.concatenate((1.0 - SLOW * wander, np.ones(len(wander))))


def _remaining(deviation: FloatArray, reference: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return the fraction of ``reference`` that a deviation has (1.0: all of it), and its uncertainty."""
    size = np.abs(reference) + 1e-9
    weight = weights * np.square(np.minimum(size / CLEAR, 1.0))
    weight /= weight.sum()
    part = np.clip(deviation * np.sign(reference) / size, -1.0, 1.5)
    return float(weight @ part), CHANCE * float(np.sqrt(np.square(weight / size).sum()))
