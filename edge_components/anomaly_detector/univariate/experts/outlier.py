"""Outlier: a single error of a robust forecast, and the mean of the last, over limits that outliers do not raise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, IntArray, column, medians, push_columns
from edge_components.anomaly_detector.univariate import robust_fit
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation
from edge_components.anomaly_detector.univariate.forecaster import CLIP, TERMS, Weights, terms_of, weights_of
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tail_limit import (
    BLOCKS,
    Tail,
    close_block,
    first_blocks,
    rare_depth,
    usual_value,
)

ASSUMED_SLOPE = 0.7
"""Slope of the tail of blocks that have not been seen yet: between that of normal and that of Laplace errors."""
OVER_USUAL = 2.0
"""The limit is above this multiple of the greatest usual error, and that of mean errors is this multiple."""
HEAVY = 1.0
"""Slope above which a tail is too heavy for a limit: that of Laplace errors; normal ones have about a half."""
SKEWED = 2.0
"""Standard deviations of the number of positive ones among the greatest errors, for a symmetric series. Beyond, the
series has bursts in one direction, which are usual."""
RECENT = 11
"""Number of errors of which the mean is checked, and whose median is the forecast's present bias."""
SMALLEST_ERROR = 0.02
"""Smaller errors count as this, in scales."""
LARGEST_LOG = 50.0
"""Upper bound of the logarithm of the limit, which is infinite before the fit."""


@dataclass(slots=True)
class OutlierState(Columns):
    """The forecaster's ``weights`` [series, TERMS], the last values without outliers (``history`` [series, lags])
    and their ``errors`` [series, RECENT], the number of consecutive outliers (``run``), the greatest errors of the last
    blocks with their signs (``greatest`` [series, blocks]) and of the ``current`` one, its ``windows``, the
    ``location`` and ``slope`` of the logarithm of an error against its depth in the tail, infinite for a skewed series,
    the logarithm below which an error is ``usual``, and the depth of the configured rate of false alarms (``rare``).
    ``greatest_mean``, ``current_mean`` and ``usual_mean`` are the same for the mean error."""

    weights: Weights = column("experts.outlier.weights", 0.0, np.float32)
    history: FloatArray = column("experts.outlier.history", 0.0)
    errors: FloatArray = column("experts.outlier.errors", 0.0)
    run: IntArray = column("experts.outlier.run", 0, np.int64)
    greatest: FloatArray = column("experts.outlier.greatest", np.nan)
    current: FloatArray = column("experts.outlier.current", 0.0)
    windows: IntArray = column("experts.outlier.windows", 0, np.int64)
    location: FloatArray = column("experts.outlier.location", 0.0)
    slope: FloatArray = column("experts.outlier.slope", 1.0)
    usual: FloatArray = column("experts.outlier.usual", np.inf)
    rare: FloatArray = column("experts.outlier.rare", 1.0)
    greatest_mean: FloatArray = column("experts.outlier.greatest_mean", np.nan)
    current_mean: FloatArray = column("experts.outlier.current_mean", 0.0)
    usual_mean: FloatArray = column("experts.outlier.usual_mean", np.inf)


class Outlier(Expert[OutlierState]):
    """Error of a forecast over the limit that follows from the greatest errors of many short blocks, and the mean of
    the last errors over its own.

    The forecaster is fitted without the outliers of the calibration, and its bias is the median of its last errors, so
    a change of level is an outlier only at its onset. The limit is that of a Weibull tail, at the depth of the
    configured rate of false alarms. Outliers that occur in more than three blocks are usual, and so are those of a
    series whose tail is heavy or skewed. An outlier is replaced by its forecast in the state of all experts. The mean
    error detects a change of slope or of cycles, whose single errors are small. Only after a long calibration; outside
    of anomalies the forecaster is fitted again after each calibration's length.
    """

    name, cause = "outlier", "forecast"
    statistics = ("outlier", "misfit")
    own_limit = True
    version = 4
    holds_anomaly = ("outlier",)
    replaces_outliers = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._lags = settings.lags if settings.is_long else 0
        self._tail = Tail.of(settings.calibration - self._lags)

    def new_state(self, n: int) -> OutlierState:
        """Return the state of ``n`` new series."""
        sizes = {
            "weights": (TERMS if self._lags else 0,),
            "history": (self._lags,),
            "errors": (RECENT,),
            "greatest": (BLOCKS,),
            "greatest_mean": (BLOCKS,),
        }
        return OutlierState.empty(n, sizes)

    def update(self, state: OutlierState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the errors with their limits; an outlier is replaced by its forecast."""
        if not self._lags:
            return
        bias = medians(state.errors)
        predicted = window.forecast(terms_of(state.history, self._lags), state.weights)
        error = window.value - predicted
        off = error - bias
        score = self._score(state, np.abs(off))
        expected[:, 0], expected[:, 1] = predicted + bias, predicted  # a lasting bias is part of the mean error
        far = score >= 1.0
        state.run = np.where(far, state.run + 1, 0)
        replaced = far & (state.run == 1)  # after that the series has changed
        window.replacement[:] = np.where(replaced, predicted + bias, np.nan)
        value = np.where(replaced, window.replacement, window.value)
        push_columns(state.history, np.clip(value, -CLIP, CLIP))
        push_columns(state.errors, np.where(replaced, bias, error))
        mean = np.abs(state.errors).mean(axis=1)
        statistic[:, 0] = score
        statistic[:, 1] = np.where(state.slope <= HEAVY, mean * np.exp(-state.usual_mean), 0.0)
        self._record(state, off, mean)

    def finish(self, state: OutlierState, data: CalibrationData, statistics: FloatArray) -> None:
        """Fit the forecaster, and the limits on its left-out errors."""
        if not self._lags:
            return
        state.rare[:] = rare_depth(data.windows_between_alarms)
        state.usual[:], state.usual_mean[:] = -np.inf, -np.inf
        self.refit(state, data.values)

    def refit(self, state: OutlierState, values: FloatArray) -> None:
        """Fit the forecaster and the errors of the last blocks; limits fall slowly, as they do between fits."""
        if not self._lags:
            return
        for row, series in enumerate(values):
            weights, errors, cleaned, replaced = robust_fit.fit(series, self._lags)
            state.weights[row] = weights_of(weights)
            state.history[row] = cleaned[-self._lags :]
            errors, kept = errors[self._lags :], np.where(replaced, 0.0, errors)[self._lags :]
            bias = medians(_recent(errors)[:-1])
            state.greatest[row] = first_blocks(self._tail.split(errors - bias))
            state.greatest_mean[row] = first_blocks(self._tail.split(np.abs(_recent(kept)[1:]).mean(axis=1)))
            state.errors[row] = kept[-RECENT:]
        state.run[:], state.windows[:], state.current[:], state.current_mean[:] = 0, 0, 0.0, 0.0
        self._set_limit(state, np.arange(len(state.run)))

    def recentre(self, state: OutlierState, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
        """Subtract the shift from the last values, and what the forecast did not follow of it from the last errors.

        Values that were bounded become the centre, since the level is steady, and the errors of forecasts from them 0.
        """
        history, weights = state.history[rows], state.weights[rows, 1:]
        bounded = np.abs(history) >= CLIP
        state.history[rows] = np.where(bounded, 0.0, np.clip(history - shift[:, None], -CLIP, CLIP))
        errors = state.errors[rows] - (shift * (1.0 - weights.sum(axis=1)))[:, None]
        state.errors[rows] = np.where(bounded.any(axis=1)[:, None], 0.0, errors)

    def correct_history(self, state: OutlierState, rows: IntArray, history: FloatArray) -> None:
        """Replace the outliers in a history that was computed from the windows themselves."""
        if not self._lags:
            return
        last, own = history[:, -self._lags :], state.history[rows]
        history[:, -self._lags :] = np.where(np.isclose(np.clip(last, -CLIP, CLIP), own), last, own)

    def _record(self, state: OutlierState, off: FloatArray, mean: FloatArray) -> None:
        """Record the window's error and the mean error, and set the limits again after a block."""
        state.current = np.where(np.abs(off) > np.abs(state.current), off, state.current)
        state.current_mean = np.maximum(state.current_mean, mean)
        full = self._tail.count_window(state.windows)
        if len(full):
            close_block(state.greatest, state.current, full)
            close_block(state.greatest_mean, state.current_mean, full)
            self._set_limit(state, full)

    def _set_limit(self, state: OutlierState, rows: IntArray) -> None:
        """Estimate the distribution of the blocks' greatest errors for some series."""
        greatest = state.greatest[rows]
        size = np.abs(greatest)
        logs = np.log(np.maximum(size, SMALLEST_ERROR))
        location, slope = self._tail.fit(logs, ASSUMED_SLOPE)
        state.location[rows] = location
        more = np.abs(np.where(size > SMALLEST_ERROR, np.sign(greatest), 0.0).sum(axis=1))
        symmetric = more <= SKEWED * np.sqrt(np.isfinite(greatest).sum(axis=1))
        state.slope[rows] = np.where(symmetric, slope, np.inf)
        state.usual[rows] = usual_value(logs, state.usual[rows], OVER_USUAL)
        logs = np.log(np.maximum(state.greatest_mean[rows], SMALLEST_ERROR))
        state.usual_mean[rows] = usual_value(logs, state.usual_mean[rows], OVER_USUAL)

    def _score(self, state: OutlierState, off: FloatArray) -> FloatArray:
        """Return the score of errors [n], their ratio to the limit; 0 without a limit."""
        limited = state.slope <= HEAVY
        depth = np.where(limited, state.slope, HEAVY) * state.rare
        limit = np.exp(np.minimum(np.maximum(state.location + depth, state.usual), LARGEST_LOG))
        return np.where(limited, off / limit, 0.0)


def _recent(errors: FloatArray) -> FloatArray:
    """Return the last RECENT errors before each of ``errors`` [windows] and after the last one, zeros before the first:
    [windows + 1, RECENT]."""
    return np.lib.stride_tricks.sliding_window_view(np.concatenate((np.zeros(RECENT), errors)), RECENT)
