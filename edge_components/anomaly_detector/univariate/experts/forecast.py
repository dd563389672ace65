"""Forecast: error of the linear forecast, and the mean of the last errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, IntArray, column, push_columns, rolling_means
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation
from edge_components.anomaly_detector.univariate.settings import Settings, bounded


@dataclass(slots=True)
class ForecastState(Columns):
    """The last errors [series, span]."""

    errors: FloatArray = column("experts.errors", 0.0)


class ForecastError(Expert[ForecastState]):
    """Error of the forecast of this window, and the mean of the last errors."""

    name = cause = "forecast"
    statistics = ("forecast", "forecasts")
    floors = (1.0, 0.5)
    holds_anomaly = ("forecast",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._span = bounded(settings.calibration // 8, 2, 6)

    def new_state(self, n: int) -> ForecastState:
        """Return the state of ``n`` new series."""
        return ForecastState.empty(n, {"errors": (self._span,)})

    def update(self, state: ForecastState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Append the window's error."""
        error = np.abs(window.value - window.predicted)
        push_columns(state.errors, error)
        expected[:, 0] = expected[:, 1] = window.predicted
        statistic[:, 0] = window.from_age(self.settings.lags + 1, error)
        statistic[:, 1] = window.from_age(self.settings.lags + self._span, state.errors.mean(axis=1))

    def replace(self, state: ForecastState, rows: IntArray, window: Observation) -> None:
        """Replace the error by that of the replacement."""
        state.errors[rows, -1] = np.abs(window.replacement[rows] - window.predicted[rows])

    def finish(self, state: ForecastState, data: CalibrationData, statistics: FloatArray) -> None:
        """Use left-out errors: the forecaster was fitted on these windows, so its own errors are too small."""
        errors = np.abs(data.errors)
        statistics[:, :, 0] = errors.T
        statistics[:, :, 1] = rolling_means(errors, self._span).T
