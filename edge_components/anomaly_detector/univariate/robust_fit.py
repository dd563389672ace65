"""A linear forecaster whose fit outliers in the calibration do not change, and the limit of its errors. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray
from edge_components.anomaly_detector.univariate.forecaster import CLIP, MAX_LEVERAGE, RIDGE

PENALTIES = (RIDGE, RIDGE / 10, RIDGE / 100, RIDGE / 1_000)
"""Ridge penalties for each window of the fit; the one with the smallest left-out errors is used."""
ROUNDS = 3
"""Fits, each on values whose outliers by the one before were replaced."""
FAR = 6.0
"""Distance of an outlier from its forecast in the fit, in robust deviations of the errors."""


def fit(values: FloatArray, lags: int) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Fit one forecaster on ``values`` [c] (in scales, in order).

    Returns its weights [1 + lags], the errors [c] as if each value had been left out of the fit, 0 for the first
    ``lags``, the values with outliers replaced by their forecasts, and which ones are replaced.
    """
    plain = np.clip(values, -CLIP, CLIP)
    cleaned = plain
    for _ in range(ROUNDS):
        weights, leverage = ridge(cleaned, lags)
        forecast = _forecasts(cleaned, weights, lags)
        error = values - forecast
        error[lags:] /= 1.0 - leverage
        size = 1.4826 * np.median(np.abs(error[lags:]))
        outlier = np.abs(error) > FAR * max(float(size), 1e-3)
        if cleaned is plain and not outlier.any():
            break  # the next fit would be the same
        cleaned = np.where(outlier, np.clip(forecast, -CLIP, CLIP), plain)
    error[:lags] = 0.0
    return weights, error, cleaned, outlier


def ridge(values: FloatArray, lags: int, penalties: Sequence[float] = PENALTIES) -> tuple[FloatArray, FloatArray]:
    """Return the weights [1 + lags] of the ridge regression with the best penalty, and the leverage of each row."""
    rows = np.lib.stride_tricks.sliding_window_view(values, lags)[:-1]
    centre, y = rows.mean(axis=0), values[lags:]
    x = rows - centre
    roots, axes = np.linalg.eigh(x.T @ x)
    along, target = x @ axes, axes.T @ (x.T @ (y - y.mean()))
    squares = np.square(along)
    best: tuple[float, FloatArray, FloatArray] | None = None
    for penalty in penalties:
        shrunk = 1.0 / (np.maximum(roots, 0.0) + penalty * len(values))
        coefficients = shrunk * target
        leverage = np.minimum(squares @ shrunk + 1.0 / len(y), MAX_LEVERAGE)
        error = np.abs(y - y.mean() - along @ coefficients) / (1.0 - leverage)
        size = float(np.minimum(error, 6.0 * np.median(error) + 1e-9).mean())
        if best is None or size < best[0]:
            best = size, axes @ coefficients, leverage
    assert best is not None  # noqa: S101 # there are penalties
    return np.concatenate(([y.mean() - centre @ best[1]], best[1])), best[2]


def _forecasts(values: FloatArray, weights: FloatArray, lags: int) -> FloatArray:
    """Return the forecast of each value [c]; of the first ``lags`` from the values after them, which has the same
    weights for a stationary series."""
    rows = np.lib.stride_tricks.sliding_window_view(values, lags)
    found = np.empty(len(values))
    found[lags:] = weights[0] + rows[:-1] @ weights[1:]
    found[:lags] = weights[0] + rows[1 : lags + 1] @ weights[:0:-1]
    return found
