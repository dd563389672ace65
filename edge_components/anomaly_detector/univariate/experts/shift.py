"""Shift: distance of the nearer quartile of the last windows from the median before."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray, medians
from edge_components.anomaly_detector.univariate.experts.base import NoState, Observation, StatelessExpert
from edge_components.anomaly_detector.univariate.experts.level import level_span
from edge_components.anomaly_detector.univariate.settings import Settings


class Shift(StatelessExpert):
    """Distance of the nearer quartile of the last windows from the median of twice as many before.

    A few bursts move neither, so it detects a change that bursts hide from the means. Only after a long calibration.
    """

    name, cause = "shift", "level"
    statistics = ("shift",)
    floors = (0.25,)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._span = level_span(settings)
        self.lookback = 3 * self._span if settings.is_long else 1

    def update(self, state: NoState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the quartiles of the last windows with the median before."""
        if not self.settings.is_long:
            return
        span = self._span
        before = medians(window.history[:, -3 * span : -span])
        tail = span // 4
        ordered = np.sort(window.history[:, -span:], axis=1)
        distance = np.abs(ordered[:, [tail, span - 1 - tail]] - before[:, None]).min(axis=1)
        expected[:, 0] = before
        statistic[:, 0] = window.from_age(3 * span, distance)
