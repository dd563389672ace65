"""Level: distance of the rolling mean from a slow level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, column
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation
from edge_components.anomaly_detector.univariate.settings import Settings, bounded

HELD_SLEW = 0.25
"""Fraction of its speed with which the level moves during an anomaly of the level."""


@dataclass(slots=True)
class LevelState(Columns):
    """The ``level``, its greatest movement a window (``slew``), and whether it is slowed down (``held``)."""

    level: FloatArray = column("experts.level", np.nan)
    slew: FloatArray = column("experts.slew", 0.0)
    held: BoolArray = column("experts.level_held", False, np.bool_)


def level_span(settings: Settings) -> int:
    """Return the number of windows of the rolling mean."""
    return bounded(settings.calibration // 5, 4, 30)


class Level(Expert[LevelState]):
    """Distance of the rolling mean from a level that moves no faster than during calibration."""

    name = cause = "level"
    statistics = ("level",)
    floors = (0.25,)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.lookback = level_span(settings)

    def new_state(self, n: int) -> LevelState:
        """Return the state of ``n`` new series."""
        return LevelState.empty(n)

    def prepare(self, state: LevelState, data: CalibrationData) -> None:
        """Set the slew to the movement between the means of the two halves of the calibration."""
        half = data.values.shape[1] // 2
        state.slew = np.abs(data.values[:, -half:].mean(axis=1) - data.values[:, :half].mean(axis=1)) / half

    def update(self, state: LevelState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Move the level towards the rolling mean."""
        rolling = window.history[:, -self.lookback :].mean(axis=1)
        ready = window.age >= self.lookback
        state.level = np.where(ready & np.isnan(state.level), rolling, state.level)
        slew = np.where(state.held, HELD_SLEW, 1.0) * state.slew
        state.level += np.clip(rolling - state.level, -slew, slew)
        expected[:, 0] = state.level
        statistic[:, 0] = np.where(ready, np.abs(rolling - state.level), np.nan)

    def recent_mean(self, state: LevelState, history: FloatArray, windows: int) -> FloatArray:
        """Return the distance of the mean of the last few windows from the level."""
        return np.asarray(np.abs(history[:, -windows:].mean(axis=1) - state.level), np.float64)

    def after_scoring(self, state: LevelState, in_anomaly: BoolArray, scores: FloatArray) -> None:
        """Slow the level down in an anomaly of the level, so that it is still valid when the series returns."""
        state.held = in_anomaly & (scores[:, 0] >= self.settings.end_level)
