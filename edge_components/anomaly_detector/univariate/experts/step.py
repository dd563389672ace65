"""Step: difference between the means of the last windows and of as many before, over two lookbacks."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.univariate.experts.base import NoState, Observation, StatelessExpert
from edge_components.anomaly_detector.univariate.settings import Settings, bounded


class Step(StatelessExpert):
    """Difference between the mean of the last windows and that of as many before, over a longer and a shorter span."""

    name = cause = "step"
    compares_recent = True
    statistics = ("step", "short_step")
    floors = (0.25, 0.25)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._spans = bounded(settings.calibration // 6, 3, 24), bounded(settings.calibration // 12, 2, 12)
        self.lookback = 2 * max(self._spans)

    def update(self, state: NoState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the two halves of each lookback."""
        for at, span in enumerate(self._spans):
            before = window.history[:, -2 * span : -span].mean(axis=1)
            after = window.history[:, -span:].mean(axis=1)
            expected[:, at] = before
            statistic[:, at] = window.from_age(2 * span, np.abs(after - before))
