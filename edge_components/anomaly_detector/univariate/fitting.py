"""Fits series on the windows they have collected: what the experts must know of them, and their records. Pure."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray, IntArray
from edge_components.anomaly_detector.univariate import calibration, experts, forecaster
from edge_components.anomaly_detector.univariate.calibration import Records
from edge_components.anomaly_detector.univariate.experts import (
    FORECAST,
    FORECASTS,
    MEASURED,
    TREND,
    ExpertState,
    Windows,
)
from edge_components.anomaly_detector.univariate.forecaster import plain_forecast
from edge_components.anomaly_detector.univariate.settings import Settings


def fit(
    kept: FloatArray, resolution: FloatArray, settings: Settings, shapes: dict[str, tuple[int, ...]], between: float
) -> tuple[ExpertState, Records]:
    """Fit series on ``kept`` [n, windows, columns of Windows], oldest first; ``resolution`` [n] is in their units.

    ``between`` is how many windows shall be between false alarms.
    """
    size, spans = kept.shape[1], settings.spans
    state = ExpertState.empty(len(kept), shapes)
    mean, count = kept[:, :, 0], kept[:, :, 4]
    state.centre = np.median(mean, axis=1)
    state.scale = _scale(mean, state.centre, resolution)
    values = (mean - state.centre[:, None]) / state.scale[:, None]
    state.slew = _slew(values)
    state.usual_count = np.median(count, axis=1)
    errors = np.full(values.shape, np.nan)
    for at in range(len(kept)):
        state.weights[at], errors[at] = forecaster.fit(values[at], spans.lags)
    state.error_scale = _scale_of_errors(errors)
    statistics = np.empty((size, len(kept), MEASURED))
    longest, repeats = np.zeros(len(kept), np.int64), np.zeros(len(kept))
    for t in range(size):
        found = experts.look(state, Windows(*kept[:, t].T), settings, spans, plain_forecast)
        statistics[t] = found.statistic
        longest = np.maximum(longest, state.run)
        repeats += state.run > 0
    # The fit has seen these windows: what its errors would be had it not is what to expect of new ones.
    statistics[:, :, FORECAST] = np.abs(errors).T
    statistics[:, :, FORECASTS] = _rolling_mean(np.abs(errors), spans.errors).T
    if spans.trend:
        statistics[:, :, TREND] = _trends(errors / state.error_scale[:, None], state)
    state.run_limit = run_limit(longest, repeats, size, 0.1 / between)
    state.deficit[:] = 0.0
    return state, calibration.fit(statistics, spans.block, shapes)


def _scale_of_errors(errors: FloatArray) -> FloatArray:
    """Return the deviation of each series' errors [n, windows]: robust where that says something."""
    robust = 1.4826 * np.nanmedian(np.abs(errors), axis=1)
    return np.asarray(np.maximum(np.maximum(robust, 0.5 * np.nanstd(errors, axis=1)), 0.02), np.float64)


def _trends(errors: FloatArray, state: ExpertState) -> FloatArray:
    """Return what the cumulated errors [n, windows] come to by window, and leave the last ones in ``state``."""
    known = np.isfinite(errors)
    state.rising[:], state.falling[:] = 0.0, 0.0
    sums = np.full(errors.T.shape, np.nan)
    for t in range(errors.shape[1]):
        error = np.where(known[:, t], errors[:, t], 0.0)
        state.rising, state.falling = experts.cumulated(state.rising, state.falling, error)
        sums[t] = np.where(known[:, t], np.maximum(state.rising, state.falling), np.nan)
    return sums


def run_limit(longest: IntArray, repeats: FloatArray, windows: int, probability: float) -> FloatArray:
    """Return how many equal windows in a row are too many: infinitely many for a series that never changed.

    If a window repeats its former with a chance p of its own, k in a row have p^k; p is not taken for less than what
    so few windows can tell.
    """
    chance = (repeats + 1.0) / (windows + 1.0)
    rare = np.log(probability) / np.log(np.minimum(chance, 0.99))
    limit = np.maximum(np.maximum(rare, 3.0 * longest + 2.0), 5.0)
    return np.where(repeats >= windows - 1, np.inf, limit)


def _scale(mean: FloatArray, centre: FloatArray, resolution: FloatArray) -> FloatArray:
    """Return each series' scale: robust where that says something, and never below what its resolution makes."""
    away = np.abs(mean - centre[:, None])
    robust = 1.4826 * np.median(away, axis=1)
    plain = mean.std(axis=1)
    floor = np.maximum(np.maximum(resolution, 1e-3 * np.abs(centre)), 1e-9)
    return np.asarray(np.maximum(np.maximum(robust, 0.5 * plain), floor), np.float64)


def _slew(values: FloatArray) -> FloatArray:
    """Return how far a series' level moved a window while it calibrated: between the means of its two halves."""
    half = values.shape[1] // 2
    return np.asarray(np.abs(values[:, -half:].mean(axis=1) - values[:, :half].mean(axis=1)) / half, np.float64)


def _rolling_mean(values: FloatArray, span: int) -> FloatArray:
    """Return the means of the last ``span`` values along the rows of [n, t], NaN where one is not known."""
    means = np.full(values.shape, np.nan)
    means[:, span - 1 :] = np.lib.stride_tricks.sliding_window_view(values, span, axis=1).mean(axis=2)
    return means
