"""Stuck: windows without any change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, IntArray, column
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation

FLAT = 1e-9
"""Largest change, in scales, that counts as unchanged."""


@dataclass(slots=True)
class StuckState(Columns):
    """The current ``run`` of unchanged windows, and its ``limit``."""

    run: IntArray = column("experts.run", 0, np.int64)
    limit: FloatArray = column("experts.run_limit", np.inf)


class Stuck(Expert[StuckState]):
    """Consecutive windows without any change, over a limit that follows from how often the series repeats a value."""

    name = cause = "stuck"
    statistics = ("stuck",)
    own_limit = True
    holds_anomaly = statistics
    direction = "flat"

    def new_state(self, n: int) -> StuckState:
        """Return the state of ``n`` new series."""
        return StuckState.empty(n)

    def prepare(self, state: StuckState, data: CalibrationData) -> None:
        """Set the limit to 1, so that the statistics of the replay are the lengths of the runs."""
        state.limit[:] = 1.0

    def update(self, state: StuckState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Extend or end the current run."""
        flat = (np.abs(window.value - window.previous) <= FLAT) & (window.windows.spread <= FLAT * window.scale)
        state.run = np.where(flat & (window.age > 1), state.run + 1, 0)
        statistic[:, 0] = state.run / state.limit

    def finish(self, state: StuckState, data: CalibrationData, statistics: FloatArray) -> None:
        """Set the limit from the runs of the calibration."""
        runs = statistics[:, :, 0]
        repeats = (runs > 0).sum(axis=0)
        state.limit = run_limit(runs.max(axis=0), repeats, len(runs), 0.1 / data.windows_between_alarms)


def run_limit(
    longest: FloatArray | IntArray, repeats: FloatArray | IntArray, windows: int, probability: float
) -> FloatArray:
    """Return the number of equal windows in a row that is an alarm, infinite for a series that never changed.

    If a window repeats the previous one with chance p, k in a row have p^k; p is estimated from ``repeats`` among the
    ``windows`` with a prior of one.
    """
    chance = (repeats + 1.0) / (windows + 1.0)
    rare = np.log(probability) / np.log(np.minimum(chance, 0.99))
    limit = np.maximum(np.maximum(rare, 3.0 * longest + 2.0), 5.0)
    return np.where(repeats >= windows - 1, np.inf, limit)
