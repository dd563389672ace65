"""The experts that a detector uses, in the order of their columns, and the scores of models as one more cause. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, push_columns
from edge_components.anomaly_detector.univariate import forecaster
from edge_components.anomaly_detector.univariate.experts import EXPERTS
from edge_components.anomaly_detector.univariate.experts.base import (
    FARTHEST,
    AnyExpert,
    CalibrationData,
    Observation,
    Observed,
    SeriesState,
)
from edge_components.anomaly_detector.univariate.forecaster import Forecast
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows

MODEL = "model"
"""Name and cause of the scores of models from outside, the last column of causes."""

States = list[Columns]
"""The state of each expert, in the order of the experts."""


class ExpertSet:
    """Experts with their columns: first the statistics that calibration scales, then those with limits of their own."""

    def __init__(self, settings: Settings, kinds: Sequence[type[AnyExpert]] = EXPERTS) -> None:
        ordered = sorted(kinds, key=lambda kind: kind.own_limit)  # stable: otherwise the order of the list
        self.experts: tuple[AnyExpert, ...] = tuple(kind(settings) for kind in ordered)
        self.names = (*(name for one in self.experts for name in one.statistics), MODEL)
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"experts: names occur twice in {', '.join(self.names)}")
        self.causes = (*(one.cause for one in self.experts for _ in one.statistics), MODEL)
        self.directions = (*(one.direction for one in self.experts for _ in one.statistics), "")
        self.floors = np.array([floor for one in self.experts for floor in one.floors])
        """Smallest record of each scaled statistic."""
        self.scaled, self.total = len(self.floors), len(self.names) - 1
        ends = np.cumsum([len(one.statistics) for one in self.experts]).tolist()
        self.columns = [slice(end - len(one.statistics), end) for one, end in zip(self.experts, ends, strict=True)]
        observed = [*(one.observed for one in self.experts for _ in one.statistics), Observed.MEAN]
        self.observes_extreme = np.array([each is Observed.EXTREME for each in observed])
        self.observes_spread = np.array([each is Observed.SPREAD for each in observed])
        self.compares_recent = np.array([one.compares_recent for one in self.experts for _ in one.statistics])
        holds = [name in one.holds_anomaly for one in self.experts for name in one.statistics]
        self.holds_anomaly = np.array([*holds, True])
        replaces = [one.replaces_outliers for one in self.experts for _ in one.statistics]
        self.replaces_outliers = np.array([*replaces, False])
        self._lags = settings.lags
        self.lookback = max(2, settings.lags + 1, *(one.lookback for one in self.experts))
        if self.lookback > settings.calibration:
            raise ValueError(f"lookback {self.lookback}: at most the calibration's {settings.calibration} windows")
        self.rest = max(settings.calibration // 5, self.lookback)
        """Windows after an anomaly in which statistics may still contain it."""

    def index(self, name: str) -> int:
        """Return the column of a statistic or of the models' scores."""
        return self.names.index(name)

    def new_series(self, n: int) -> SeriesState:
        """Return the shared state of ``n`` new series."""
        return SeriesState.empty(n, {"history": (self.lookback,), "weights": (forecaster.TERMS,)})

    def new_states(self, n: int) -> States:
        """Return the states of the experts for ``n`` new series."""
        return [expert.new_state(n) for expert in self.experts]

    def update(
        self, series: SeriesState, states: States, windows: Windows, forecast: Forecast
    ) -> tuple[FloatArray, FloatArray]:
        """Process one window of n series, change their states in place, and return the statistics and the expected
        means [n, total]; NaN where an expert has not seen enough."""
        value, low, high = (standardized(values, series) for values in (windows.mean, windows.low, windows.high))
        previous = series.history[:, -1].copy()
        predicted = forecast(forecaster.terms_of(series.history, self._lags), series.weights)
        push_columns(series.history, value)
        series.age += 1
        unknown = np.full(len(value), np.nan)
        window = Observation(
            windows, value, low, high, previous, predicted, series.history, series.age, series.scale, unknown, forecast
        )
        statistic, expected = np.full((len(value), self.total), np.nan), np.full((len(value), self.total), np.nan)
        for expert, state, at in zip(self.experts, states, self.columns, strict=True):
            expert.update(state, window, statistic[:, at], expected[:, at])
        rows = np.flatnonzero(np.isfinite(window.replacement))
        if len(rows):
            series.history[rows, -1] = window.replacement[rows]
            for expert, state in zip(self.experts, states, strict=True):
                expert.replace(state, rows, window)
        return statistic, expected

    def recent_mean(self, states: States, history: FloatArray, windows: int) -> FloatArray:
        """Return the statistics that are means, over the last ``windows`` only [n, total]; NaN for the others."""
        found = np.full((len(history), self.total), np.nan)
        for expert, state, at in zip(self.experts, states, self.columns, strict=True):
            few = expert.recent_mean(state, history, windows)
            if few is not None:
                found[:, at.stop - 1] = few
        return found

    def prepare(self, states: States, data: CalibrationData) -> None:
        """Fit new states before the calibration windows are replayed."""
        for expert, state in zip(self.experts, states, strict=True):
            expert.prepare(state, data)

    def finish(self, states: States, data: CalibrationData, statistics: FloatArray) -> None:
        """Adjust states and statistics [windows, n, total] after the replay."""
        for expert, state, at in zip(self.experts, states, self.columns, strict=True):
            expert.finish(state, data, statistics[:, :, at])

    def refit(self, states: States, values: FloatArray) -> None:
        """Fit states again on the last windows ``values`` [n, windows], in scales."""
        for expert, state in zip(self.experts, states, strict=True):
            expert.refit(state, values)

    def after_scoring(self, states: States, in_anomaly: BoolArray, scores: FloatArray) -> None:
        """Adjust states after a window was scored; ``scores`` is [n, total] or wider, ``in_anomaly`` [n]."""
        for expert, state, at in zip(self.experts, states, self.columns, strict=True):
            expert.after_scoring(state, in_anomaly, scores[:, at])

    def recentre(
        self, series: SeriesState, states: States, rows: IntArray, shift: FloatArray, lasted: IntArray
    ) -> None:
        """Move the centres of some series by ``shift`` [rows], in scales; the windows since the change (``lasted``
        [rows]) are at least the lookback."""
        series.centre[rows] += shift * series.scale[rows]
        series.history[rows] -= shift[:, None]
        for expert, state in zip(self.experts, states, strict=True):
            expert.recentre(state, rows, shift, lasted)


def standardized(values: FloatArray, series: SeriesState) -> FloatArray:
    """Return values [n] in scales from the series' centres, within ``FARTHEST``."""
    return np.asarray(np.clip((values - series.centre) / series.scale, -FARTHEST, FARTHEST), np.float64)
