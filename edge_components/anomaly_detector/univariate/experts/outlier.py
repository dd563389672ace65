"""Outlier: a single error of the forecast beyond its own limit."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.univariate.experts.base import NoState, Observation, StatelessExpert

OUTLIER = "outlier"


class Outlier(StatelessExpert):
    """Error of the forecast over a limit from quantiles of the calibration's errors, which outliers do not change."""

    name, cause = OUTLIER, "forecast"
    statistics = (OUTLIER,)
    own_limit = True

    def update(self, state: NoState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the window's error with the limit."""
        expected[:, 0] = window.predicted
        error = np.abs(window.value - window.predicted)
        statistic[:, 0] = window.from_age(self.settings.lags + 1, error / window.limit)
