"""How an anomaly of a group goes on, and when it is over: when half of it has gone.

Pure. What the channels look like is told by numbers, two a channel: how far it is from where it was, and how much
rougher it has become, in spreads. How much of the anomaly there still is, is told by the channels that showed it, each
by the part of its own way that it has not come back. Beyond ``CLEAR`` all have the same say, however far they went, and
those that wander by themselves have little: a temperature that follows slowly does not hold up the end, a fault that
only it shows is told by it alone. Two looks are compared with: that of the first rows, and that of the last ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray, push

FIRST_ROWS = 10
"""Slow followers have not come far in so many rows."""
PLATEAU_ROWS = 80
"""What the anomaly usually looks like is the median of so many rows."""
KNOWN_ROWS = 20
"""It is known after so many."""
LEFT_OVER = 0.5
"""It is over when less than this part of it is left,"""
END_ROWS = 6
"""for so many rows."""
LEAST_PLATEAU = 0.9
"""The part of the first look that is usual later on counts as no less than this."""
CHANCE = 2.0
"""What is left is told no better than to so many deviations of what chance does to it."""
CLEAR = 5.0
SLOW = 0.9
"""How much less of a say a channel has that wanders by itself."""


@dataclass(slots=True)
class Course:
    """The ``first`` look [2c] of an anomaly, its last ``looks`` [PLATEAU_ROWS, 2c], how much of the first there was in
    them (``gone``), and in ``numbers`` how many rows it has lasted, and how many of the last had less than half."""

    first: FloatArray
    looks: FloatArray
    gone: FloatArray
    numbers: FloatArray

    @classmethod
    def empty(cls, channels: int) -> Course:
        """Return the course of no anomaly."""
        looks = np.full((PLATEAU_ROWS, 2 * channels), np.nan)
        return cls(np.zeros(2 * channels), looks, np.full(PLATEAU_ROWS, np.nan), np.zeros(2))

    @property
    def lasted(self) -> int:
        """How many rows it has lasted."""
        return int(self.numbers[0])

    def begin(self, look: FloatArray) -> None:
        """Take the look of an anomaly's first row in."""
        self.first[:] = look
        self.looks[:], self.gone[:], self.numbers[:] = np.nan, np.nan, 0.0

    def over(self, look: FloatArray, wander: FloatArray, back: bool) -> bool:
        """Take the look of a row in and return whether the anomaly is over; ``wander`` [c] is how much channels wander
        by themselves, 0 to 1, and ``back`` whether all are where they were."""
        self.numbers[0] += 1
        if self.lasted <= FIRST_ROWS:
            self.first += (look - self.first) / (self.lasted + 1)
        push(self.looks, look)
        push(self.gone, _left(look, self.first, _say(wander))[0])
        (first, chance), (usual, usual_chance) = self._left(look, wander)
        half = first + chance < LEFT_OVER or (self.lasted >= KNOWN_ROWS and usual + usual_chance < LEFT_OVER)
        self.numbers[1] = self.numbers[1] + 1 if half or back else 0
        return bool(self.numbers[1] >= END_ROWS)

    def again(self, look: FloatArray, wander: FloatArray) -> bool:
        """Return whether more than half of an anomaly that was over is there again."""
        return all(left > LEFT_OVER for left, _ in self._left(look, wander))

    def go_on(self) -> None:
        """Take in that it is not over after all."""
        self.numbers[1] = 0

    def _left(self, look: FloatArray, wander: FloatArray) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return how much is left, and how far chance may move that, by the first look and by the last ones."""
        kept = min(self.lasted, PLATEAU_ROWS)
        left, chance = _left(look, self.first, _say(wander))
        plateau = max(float(np.median(self.gone[-kept:])), LEAST_PLATEAU)
        return (left / plateau, chance / plateau), _left(look, np.median(self.looks[-kept:], axis=0), _say(wander))


def _say(wander: FloatArray) -> FloatArray:
    return np.concatenate((1.0 - SLOW * wander, np.ones(len(wander))))


def _left(look: FloatArray, usual: FloatArray, say: FloatArray) -> tuple[float, float]:
    """Return how much of what is ``usual`` a look has (1.0: all of it), and how far chance may move that."""
    size = np.abs(usual) + 1e-9
    weight = say * np.square(np.minimum(size / CLEAR, 1.0))
    weight /= weight.sum()
    part = np.clip(look * np.sign(usual) / size, -1.0, 1.5)
    return float(weight @ part), CHANCE * float(np.sqrt(np.square(weight / size).sum()))
