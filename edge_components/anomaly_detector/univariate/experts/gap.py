"""Gap: fewer readings than usual. The ensemble reports missing windows under the same cause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, column
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation

FEWEST = 3
"""Minimum number of readings in a usual window for a shortfall to count."""
LIMIT = 2.0


@dataclass(slots=True)
class GapState(Columns):
    """The usual number of readings in a window, and the cumulated shortfall, in windows."""

    usual_count: FloatArray = column("experts.usual_count", 0.0)
    deficit: FloatArray = column("experts.deficit", 0.0)


class Gap(Expert[GapState]):
    """Cumulated shortfall of readings (CUSUM, Page 1954) over two windows' worth; a quarter too few is tolerated."""

    name = cause = "gap"
    statistics = ("gap",)
    own_limit = True
    holds_anomaly = statistics
    direction = "silent"

    def new_state(self, n: int) -> GapState:
        """Return the state of ``n`` new series."""
        return GapState.empty(n)

    def prepare(self, state: GapState, data: CalibrationData) -> None:
        """Set the usual number of readings."""
        state.usual_count = np.median(data.count, axis=1)

    def update(self, state: GapState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Cumulate the window's shortfall."""
        counted = state.usual_count >= FEWEST
        short = np.where(counted, 1.0 - window.windows.count / np.maximum(state.usual_count, 1.0), 0.0)
        state.deficit = np.where(short <= 0.1, state.deficit / 2.0, np.clip(state.deficit + short - 0.25, 0.0, 4.0))
        statistic[:, 0] = state.deficit / LIMIT

    def finish(self, state: GapState, data: CalibrationData, statistics: FloatArray) -> None:
        """Begin without a shortfall."""
        state.deficit[:] = 0.0
