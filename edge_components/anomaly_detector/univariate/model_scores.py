"""Scores of deployed models for the windows of some series: a cause in addition to the experts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, IntArray


@dataclass(slots=True)
class ModelScores:
    """By row [n]: ``score`` (1.0 is the alarm level), the ``expected`` value, and its distance from the alarm level
    (``reach``), both in the series' own unit. NaN where no model scores the row."""

    score: FloatArray
    expected: FloatArray
    reach: FloatArray

    @classmethod
    def unscored(cls, n: int) -> ModelScores:
        """Return ``n`` rows without a score."""
        return cls(*(np.full(n, np.nan) for _ in range(3)))

    def maximum(self, other: ModelScores) -> ModelScores:
        """Return the higher score for each row, with its expected value."""
        higher = np.isfinite(other.score) & ~(self.score >= other.score)
        pairs = ((self.score, other.score), (self.expected, other.expected), (self.reach, other.reach))
        return ModelScores(*(np.where(higher, theirs, own) for own, theirs in pairs))

    def take(self, index: IntArray | BoolArray) -> ModelScores:
        """Return some of the rows."""
        return ModelScores(self.score[index], self.expected[index], self.reach[index])


class ModelScorer(Protocol):
    """Scores one window of a batch."""

    def __call__(
        self, names: Sequence[str], series_ids: IntArray, start_ms: int, width_ms: int, mean: FloatArray
    ) -> ModelScores | None:
        """Return the models' scores of the rows, or None if no model scores any.

        ``series_ids`` [n] are the rows' indexes in ``names``, the list of all series, which only grows; another list
        object has other series. ``mean`` [n] are the windows' means.
        """
