"""What models from outside say of the windows of some series: a further cause beside the experts' own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, IntArray


@dataclass(slots=True)
class Opinion:
    """By row [n]: ``score`` (1.0 is the alarm level), what was ``expected`` and how far from it is the alarm level
    (``reach``), both in the series' own unit. NaN where no model has a say."""

    score: FloatArray
    expected: FloatArray
    reach: FloatArray

    @classmethod
    def none(cls, n: int) -> Opinion:
        """Return the opinion that says nothing of ``n`` rows."""
        return cls(*(np.full(n, np.nan) for _ in range(3)))

    def louder(self, other: Opinion) -> Opinion:
        """Return by row the opinion with the higher score."""
        theirs = np.isfinite(other.score) & ~(self.score >= other.score)
        pairs = ((self.score, other.score), (self.expected, other.expected), (self.reach, other.reach))
        return Opinion(*(np.where(theirs, their, own) for own, their in pairs))

    def take(self, index: IntArray | BoolArray) -> Opinion:
        """Return some of the rows."""
        return Opinion(self.score[index], self.expected[index], self.reach[index])


class Opinions(Protocol):
    """Asked once a window of a batch."""

    def __call__(
        self, names: Sequence[str], places: IntArray, start_ms: int, width_ms: int, mean: FloatArray
    ) -> Opinion | None:
        """Return what the models say of the rows, or None where there is no model.

        ``places`` [n] number the rows' series in ``names``, the list of all series, which only ever grows; ``mean``
        [n] are their windows' means.
        """
