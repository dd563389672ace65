"""Noise: the spread within windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, IntArray, column, push_columns
from edge_components.anomaly_detector.univariate.experts.base import FARTHEST, Expert, Observation, Observed
from edge_components.anomaly_detector.univariate.settings import Settings, bounded


@dataclass(slots=True)
class NoiseState(Columns):
    """The last spreads [series, span]."""

    spreads: FloatArray = column("experts.roughness", 0.0)


class Noise(Expert[NoiseState]):
    """Root mean square of the spread within windows, or of the change between windows of one reading each."""

    name = cause = "noise"
    compares_recent = True
    statistics = ("noise",)
    floors = (1e-3,)
    observed = Observed.SPREAD
    direction = "noisier"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._span = bounded(settings.calibration // 4, 5, 30)

    def new_state(self, n: int) -> NoiseState:
        """Return the state of ``n`` new series."""
        return NoiseState.empty(n, {"spreads": (self._span,)})

    def update(self, state: NoiseState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Append the window's spread."""
        within = np.minimum(window.windows.spread / window.scale, FARTHEST)
        between = np.abs(window.value - window.previous) / np.sqrt(2.0)
        push_columns(state.spreads, np.where(window.windows.count > 1, within, between))
        statistic[:, 0] = window.from_age(self._span + 1, np.sqrt(np.square(state.spreads).mean(axis=1)))

    def replace(self, state: NoiseState, rows: IntArray, window: Observation) -> None:
        """Repeat the spread before."""
        state.spreads[rows, -1] = state.spreads[rows, -2]
