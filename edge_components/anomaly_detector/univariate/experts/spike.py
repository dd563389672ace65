"""Spike: distance of the window's minimum and maximum from the median of the previous windows."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray, medians
from edge_components.anomaly_detector.univariate.experts.base import NoState, Observation, Observed, StatelessExpert
from edge_components.anomaly_detector.univariate.settings import Settings, bounded


class Spike(StatelessExpert):
    """Distance of the window's farther extreme from the median of the previous windows."""

    name = cause = "spike"
    compares_recent = True
    statistics = ("spike",)
    floors = (1.0,)
    holds_anomaly = statistics
    observed = Observed.EXTREME

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.lookback = bounded(settings.calibration // 4, 5, 11) + 1

    def update(self, state: NoState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the window's extremes with the median before it."""
        median = medians(window.history[:, -self.lookback : -1])
        expected[:, 0] = median
        distance = np.maximum(np.abs(window.high - median), np.abs(median - window.low))
        statistic[:, 0] = window.from_age(self.lookback, distance)
