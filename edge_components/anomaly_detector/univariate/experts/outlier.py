"""Outlier: a single error of a robust forecast, beyond a limit that single outliers do not raise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, IntArray, column, push_columns
from edge_components.anomaly_detector.univariate import robust_fit
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation
from edge_components.anomaly_detector.univariate.forecaster import CLIP
from edge_components.anomaly_detector.univariate.settings import Settings

BLOCKS, SHORTEST_BLOCK = 32, 8
"""Maximum number of blocks of windows whose greatest errors are in memory, and minimum number of windows in a block."""
LOW, MIDDLE, HIGH = 0.25, 0.5, 0.75
"""Quantiles of these that determine the limit; outliers in fewer than a quarter of the blocks do not change it."""
USUAL, OVER_USUAL = 4, 1.5
"""The limit is above this multiple of the fourth greatest of them: outliers that occur in more blocks are usual."""
FORGOTTEN = 0.02
"""Decrease of the logarithm of the greatest usual error for each block, at most: it halves in about a calibration."""
HEAVY = 0.3
"""Slope above which a tail is too heavy for a limit; normal errors have about 0.2, Laplace's 0.33."""
RECENT = 11
"""Number of errors whose median is the forecast's present bias."""
CONSECUTIVE = 2
"""Maximum number of consecutive outliers; after that the series has changed."""
SHARE = 0.03
"""Part of the configured rate of false alarms."""
SMALLEST_ERROR = 0.02
"""Smaller errors count as this, in scales."""
SMALLEST_SLOPE = 0.15


def _reduced(probability: float) -> float:
    """Return the reduced Gumbel variate that is not exceeded with a probability."""
    return float(-np.log(-np.log(probability)))


def _median(errors: FloatArray) -> FloatArray:
    """Return the medians of ``errors`` [n, RECENT]; the number is odd."""
    return np.asarray(np.partition(errors, RECENT // 2, axis=1)[:, RECENT // 2], np.float64)


@dataclass(slots=True)
class OutlierState(Columns):
    """The forecaster's ``weights`` [series, 1 + lags], the last values without outliers (``history`` [series, lags]),
    the last ``errors`` [series, RECENT], the number of consecutive outliers (``run``), the greatest errors of the last
    blocks (``greatest`` [series, blocks]) and of the ``current`` one, its ``windows``, the ``location`` and ``slope``
    of the logarithm of a block's greatest error, the logarithm below which an error is ``usual``, and the reduced
    variate that the configured rate of false alarms corresponds to (``rare``)."""

    weights: FloatArray = column("experts.outlier.weights", 0.0)
    history: FloatArray = column("experts.outlier.history", 0.0)
    errors: FloatArray = column("experts.outlier.errors", 0.0)
    run: IntArray = column("experts.outlier.run", 0, np.int64)
    greatest: FloatArray = column("experts.outlier.greatest", 0.0)
    current: FloatArray = column("experts.outlier.current", 0.0)
    windows: IntArray = column("experts.outlier.windows", 0, np.int64)
    location: FloatArray = column("experts.outlier.location", 0.0)
    slope: FloatArray = column("experts.outlier.slope", 1.0)
    usual: FloatArray = column("experts.outlier.usual", np.inf)
    rare: FloatArray = column("experts.outlier.rare", 1.0)


class Outlier(Expert[OutlierState]):
    """Error of a forecast over the limit that follows from the greatest errors of many short blocks.

    The forecaster is fitted without the outliers of the calibration, and its bias is the median of its last errors, so
    a change of level is an outlier only at its onset. The logarithms of the blocks' greatest errors are assumed to have
    a Gumbel distribution, whose quartiles determine the limit for the configured rate of false alarms. Outliers that
    occur in more than three blocks are usual. The state of the other experts contains the outliers. Only after a long
    calibration.
    """

    name, cause = "outlier", "forecast"
    statistics = ("outlier",)
    own_limit = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._lags = settings.lags if settings.is_long else 0
        errors = settings.calibration - self._lags
        self._block = max(SHORTEST_BLOCK, errors // BLOCKS)
        self._blocks = max(USUAL, min(BLOCKS, errors // self._block))

    def new_state(self, n: int) -> OutlierState:
        """Return the state of ``n`` new series."""
        sizes = {
            "weights": (self._lags + 1,),
            "history": (self._lags,),
            "errors": (RECENT,),
            "greatest": (self._blocks,),
        }
        return OutlierState.empty(n, sizes)

    def update(self, state: OutlierState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the window's error with the limit; an outlier is replaced by its forecast in the history."""
        if not self._lags:
            return
        bias = _median(state.errors)
        predicted = state.weights[:, 0] + np.einsum("nl,nl->n", state.history, state.weights[:, 1:])
        error = window.value - predicted
        off = np.abs(error - bias)
        score = self._score(state, off)
        expected[:, 0] = predicted + bias
        statistic[:, 0] = score
        far = score >= 1.0
        state.run = np.where(far, state.run + 1, 0)
        replaced = far & (state.run <= CONSECUTIVE)
        push_columns(state.history, np.clip(np.where(replaced, predicted + bias, window.value), -CLIP, CLIP))
        push_columns(state.errors, error)
        self._record(state, off)

    def finish(self, state: OutlierState, data: CalibrationData, statistics: FloatArray) -> None:
        """Fit the forecaster, and the limit on its left-out errors."""
        if not self._lags:
            return
        state.rare[:] = _reduced(1.0 - min(0.3, SHARE * self._block / data.windows_between_alarms))
        for row, values in enumerate(data.values):
            state.weights[row], errors, cleaned = robust_fit.fit(values, self._lags)
            state.history[row] = cleaned[-self._lags :]
            known = np.concatenate((np.zeros(RECENT), errors[self._lags :]))
            bias = _median(np.lib.stride_tricks.sliding_window_view(known, RECENT)[:-1])
            state.errors[row] = known[-RECENT:]
            off = np.abs(errors[self._lags :] - bias)
            state.greatest[row] = [block.max() for block in np.array_split(off, self._blocks)]
        state.run[:], state.windows[:], state.current[:] = 0, 0, 0.0
        state.usual[:] = -np.inf
        self._set_limit(state, np.arange(len(state.run)))

    def recentre(self, state: OutlierState, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
        """Subtract the shift from the last values."""
        state.history[rows] -= shift[:, None]

    def _record(self, state: OutlierState, off: FloatArray) -> None:
        """Record the window's error, and set the limit again after a block."""
        state.current = np.maximum(state.current, off)
        state.windows += 1
        full = np.flatnonzero(state.windows >= self._block)
        if not len(full):
            return
        state.greatest[full, :-1] = state.greatest[full, 1:]
        state.greatest[full, -1] = state.current[full]
        state.current[full], state.windows[full] = 0.0, 0
        self._set_limit(state, full)

    def _set_limit(self, state: OutlierState, rows: IntArray) -> None:
        """Estimate the distribution of the blocks' greatest errors for some series."""
        logs = np.log(np.maximum(state.greatest[rows], SMALLEST_ERROR))
        low, middle, high = np.quantile(logs, (LOW, MIDDLE, HIGH), axis=1)
        slope = np.maximum((high - low) / (_reduced(HIGH) - _reduced(LOW)), SMALLEST_SLOPE)
        state.slope[rows] = slope
        state.location[rows] = middle - _reduced(MIDDLE) * slope
        usual = np.log(OVER_USUAL) + np.sort(logs, axis=1)[:, -USUAL]
        state.usual[rows] = np.maximum(usual, state.usual[rows] - FORGOTTEN)

    def _score(self, state: OutlierState, off: FloatArray) -> FloatArray:
        """Return the score of errors [n]: 1.0 at the limit, and linear in the logarithm of the error."""
        error = np.log(np.maximum(off, SMALLEST_ERROR))
        highest = np.maximum(state.location + state.slope * state.rare, state.usual)
        score = np.maximum(1.0 + (error - highest) / (state.slope * state.rare), 0.0)
        return np.where(state.slope <= HEAVY, score, 0.0)
