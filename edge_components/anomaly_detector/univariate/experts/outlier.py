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
USUAL, OVER_USUAL = 4, 2.0
"""The limit is above this multiple of the fourth greatest of them: outliers that occur in more blocks are usual."""
FORGOTTEN = 0.02
"""Decrease of the logarithm of the greatest usual error for each block, at most: it halves in about a calibration."""
HEAVY = 1.0
"""Slope above which a tail is too heavy for a limit: that of Laplace errors; normal ones have about a half."""
SKEWED = 2.0
"""Standard deviations of the number of positive ones among the greatest errors, for a symmetric series. Beyond, the
series has bursts in one direction, which are usual."""
RECENT = 11
"""Number of errors whose median is the forecast's present bias."""
CONSECUTIVE = 2
"""Maximum number of consecutive outliers; after that the series has changed."""
SHARE = 0.003
"""Part of the configured rate of false alarms."""
SMALLEST_ERROR = 0.02
"""Smaller errors count as this, in scales."""
SMALLEST_SLOPE = 0.3
LARGEST_LOG = 50.0
"""Upper bound of the logarithm of the limit, which is infinite before the fit."""


def _median(errors: FloatArray) -> FloatArray:
    """Return the medians of ``errors`` [n, RECENT]; the number is odd."""
    return np.asarray(np.partition(errors, RECENT // 2, axis=1)[:, RECENT // 2], np.float64)


@dataclass(slots=True)
class OutlierState(Columns):
    """The forecaster's ``weights`` [series, 1 + lags], the last values without outliers (``history`` [series, lags]),
    the last ``errors`` [series, RECENT], the number of consecutive outliers (``run``), the greatest errors of the last
    blocks with their signs (``greatest`` [series, blocks]) and of the ``current`` one, its ``windows``, the
    ``location`` and ``slope`` of the logarithm of an error against its depth in the tail, infinite for a skewed series,
    the logarithm below which an error is ``usual``, and the depth of the configured rate of false alarms (``rare``)."""

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
    a change of level is an outlier only at its onset. Errors are assumed to have a Weibull tail: the logarithm of an
    error is linear in its depth, which is the logarithm of minus the logarithm of the probability of a greater one. The
    quartiles of the blocks' greatest errors determine the line, which has the limit at the depth of the configured rate
    of false alarms. Outliers that occur in more than three blocks are usual, and so are those of a series whose tail is
    heavy or skewed. An outlier is replaced by its forecast in the state of all experts. Only after a long calibration.
    """

    name, cause = "outlier", "forecast"
    statistics = ("outlier",)
    own_limit = True
    version = 2
    replaces_outliers = True

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
        """Compare the window's error with the limit; an outlier is replaced by its forecast."""
        if not self._lags:
            return
        bias = _median(state.errors)
        predicted = state.weights[:, 0] + np.einsum("nl,nl->n", state.history, state.weights[:, 1:])
        error = window.value - predicted
        off = error - bias
        score = self._score(state, np.abs(off))
        expected[:, 0] = predicted + bias
        statistic[:, 0] = score
        far = score >= 1.0
        state.run = np.where(far, state.run + 1, 0)
        window.replacement[:] = np.where(far & (state.run <= CONSECUTIVE), predicted + bias, np.nan)
        value = np.where(np.isfinite(window.replacement), window.replacement, window.value)
        push_columns(state.history, np.clip(value, -CLIP, CLIP))
        push_columns(state.errors, error)
        self._record(state, off)

    def finish(self, state: OutlierState, data: CalibrationData, statistics: FloatArray) -> None:
        """Fit the forecaster, and the limit on its left-out errors."""
        if not self._lags:
            return
        state.rare[:] = np.log(np.log(max(10.0, data.windows_between_alarms / SHARE)))
        for row, values in enumerate(data.values):
            state.weights[row], errors, cleaned = robust_fit.fit(values, self._lags)
            state.history[row] = cleaned[-self._lags :]
            known = np.concatenate((np.zeros(RECENT), errors[self._lags :]))
            bias = _median(np.lib.stride_tricks.sliding_window_view(known, RECENT)[:-1])
            state.errors[row] = known[-RECENT:]
            blocks = np.array_split(errors[self._lags :] - bias, self._blocks)
            state.greatest[row] = [block[np.abs(block).argmax()] for block in blocks]
        state.run[:], state.windows[:], state.current[:] = 0, 0, 0.0
        state.usual[:] = -np.inf
        self._set_limit(state, np.arange(len(state.run)))

    def recentre(self, state: OutlierState, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
        """Subtract the shift from the last values."""
        state.history[rows] -= shift[:, None]

    def correct_history(self, state: OutlierState, rows: IntArray, history: FloatArray) -> None:
        """Replace the outliers in a history that was computed from the windows themselves."""
        if not self._lags:
            return
        last, own = history[:, -self._lags :], state.history[rows]
        history[:, -self._lags :] = np.where(np.isclose(np.clip(last, -CLIP, CLIP), own), last, own)

    def _depth(self, quantile: float) -> float:
        """Return the depth of the error that is a quantile of the blocks' greatest ones."""
        return float(np.log(-np.log(-np.expm1(np.log(quantile) / self._block))))

    def _record(self, state: OutlierState, off: FloatArray) -> None:
        """Record the window's error, and set the limit again after a block."""
        state.current = np.where(np.abs(off) > np.abs(state.current), off, state.current)
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
        greatest = state.greatest[rows]
        size = np.abs(greatest)
        logs = np.log(np.maximum(size, SMALLEST_ERROR))
        low, middle, high = np.quantile(logs, (LOW, MIDDLE, HIGH), axis=1)
        slope = np.maximum((high - low) / (self._depth(HIGH) - self._depth(LOW)), SMALLEST_SLOPE)
        state.location[rows] = middle - self._depth(MIDDLE) * slope
        more = np.abs(np.where(size > SMALLEST_ERROR, np.sign(greatest), 0.0).sum(axis=1))
        state.slope[rows] = np.where(more > SKEWED * np.sqrt(self._blocks), np.inf, slope)
        usual = np.log(OVER_USUAL) + np.sort(logs, axis=1)[:, -USUAL]
        state.usual[rows] = np.maximum(usual, state.usual[rows] - FORGOTTEN)

    def _score(self, state: OutlierState, off: FloatArray) -> FloatArray:
        """Return the score of errors [n], their ratio to the limit; 0 without a limit."""
        limited = state.slope <= HEAVY
        depth = np.where(limited, state.slope, HEAVY) * state.rare
        limit = np.exp(np.minimum(np.maximum(state.location + depth, state.usual), LARGEST_LOG))
        return np.where(limited, off / limit, 0.0)
