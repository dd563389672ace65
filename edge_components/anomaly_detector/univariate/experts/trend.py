"""Trend: cumulated errors of the forecast in one direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation

ALLOWANCE = 0.5
"""Part of each error, in deviations, that is not cumulated."""
LARGEST_ERROR = 4.0


@dataclass(slots=True)
class TrendState(Columns):
    """The cumulated errors upwards and downwards, and the usual deviation of an error."""

    rising: FloatArray = column("experts.rising", 0.0)
    falling: FloatArray = column("experts.falling", 0.0)
    error_scale: FloatArray = column("experts.error_scale", 1.0)


class Trend(Expert[TrendState]):
    """Errors of the forecast in one direction, cumulated (CUSUM, Page 1954). Only after a short calibration."""

    name = cause = "trend"
    statistics = ("trend",)
    floors = (2.0,)

    def new_state(self, n: int) -> TrendState:
        """Return the state of ``n`` new series."""
        return TrendState.empty(n)

    def prepare(self, state: TrendState, data: CalibrationData) -> None:
        """Estimate the deviation of the errors, robustly where possible."""
        robust = 1.4826 * np.nanmedian(np.abs(data.errors), axis=1)
        state.error_scale = np.maximum(np.maximum(robust, 0.5 * np.nanstd(data.errors, axis=1)), 0.02)

    def update(self, state: TrendState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Cumulate the window's error."""
        if self.settings.is_long:
            return
        ready = window.age > self.settings.lags
        _cumulate(state, (window.value - window.predicted) / state.error_scale)
        state.rising, state.falling = np.where(ready, state.rising, 0.0), np.where(ready, state.falling, 0.0)
        expected[:, 0] = window.predicted
        statistic[:, 0] = np.where(ready, np.maximum(state.rising, state.falling), np.nan)

    def finish(self, state: TrendState, data: CalibrationData, statistics: FloatArray) -> None:
        """Cumulate the left-out errors instead of the forecaster's own ones, which are too small."""
        if self.settings.is_long:
            return
        errors = data.errors / state.error_scale[:, None]
        state.rising[:], state.falling[:] = 0.0, 0.0
        for at, error in enumerate(errors.T):
            known = np.isfinite(error)
            _cumulate(state, np.where(known, error, 0.0))
            statistics[at, :, 0] = np.where(known, np.maximum(state.rising, state.falling), np.nan)

    def recentre(self, state: TrendState, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
        """Begin without cumulated errors."""
        state.rising[rows], state.falling[rows] = 0.0, 0.0

    def after_scoring(self, state: TrendState, in_anomaly: BoolArray, scores: FloatArray) -> None:
        """Halve the sums during an anomaly: it has been reported, and must be able to end."""
        state.rising = np.where(in_anomaly, 0.5 * state.rising, state.rising)
        state.falling = np.where(in_anomaly, 0.5 * state.falling, state.falling)


def _cumulate(state: TrendState, error: FloatArray) -> None:
    """Add an error [n], in deviations; a single one is bounded."""
    bounded = np.clip(error, -LARGEST_ERROR, LARGEST_ERROR)
    state.rising = np.maximum(state.rising + bounded - ALLOWANCE, 0.0)
    state.falling = np.maximum(state.falling - bounded - ALLOWANCE, 0.0)
