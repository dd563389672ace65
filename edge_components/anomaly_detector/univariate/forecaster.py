"""A linear forecaster for each series: the next value from the last ones, fitted in closed form (ridge regression).

Pure. A port computes the sums of products, so that a TFLite model can do it for all series at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import BoolArray, FloatArray
from edge_components.anomaly_detector.univariate.settings import MAX_LAGS

TERMS = MAX_LAGS + 1
PENALTIES = (1 / 30, 1 / 300, 1 / 3_000, 1 / 30_000)
"""Ridge penalties for each window of the fit; the one with the smallest left-out errors is used."""
ROUNDS = 2
"""Fits, each on values whose outliers by the one before were replaced."""
CLIP = 8.0
"""Values are clipped to this number of scales in fit and forecast, which bounds the effect of one spike."""
BETTER = 0.98
"""A smaller penalty must reduce the errors to this fraction."""
TAIL, CONTAMINATION = 0.05, 0.01
"""Fraction of the errors that determines the tail, and the fraction of a calibration that may be outliers."""
USUAL_OUTLIER = 2.0
MIN_LIMIT = 0.1
"""Lower bound of the limit, in scales."""
MAX_LEVERAGE = 0.95
"""Upper bound of a window's leverage, so that a left-out error stays finite."""

Weights = npt.NDArray[np.float32]
"""In the type of the TFLite model's input, which saves a conversion."""


class Forecast(Protocol):
    """Sums of products: ``terms`` and ``weights`` [n, TERMS] to [n]."""

    def __call__(self, terms: FloatArray, weights: Weights) -> FloatArray:
        """Return one forecast a series."""


def plain_forecast(terms: FloatArray, weights: Weights) -> FloatArray:
    """Forecast with NumPy: the reference for the TFLite model, and its fallback."""
    return np.asarray(np.einsum("nt,nt->n", terms, weights), np.float64)


def terms_of(history: FloatArray, lags: int) -> FloatArray:
    """Return [n, TERMS]: a one, zeros, then the last ``lags`` values of ``history`` [n, h], newest last."""
    terms = np.zeros((len(history), TERMS))
    terms[:, 0] = 1.0
    terms[:, TERMS - lags :] = np.clip(history[:, -lags:], -CLIP, CLIP)
    return terms


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted forecaster: its ``weights`` [TERMS]; the ``errors`` [c] of the calibration as if each value had been
    left out of the fit, NaN for the first ``lags``; the ``limit`` of an error; ``outlier`` [c], the values beyond it;
    and the values [c] ``cleaned`` of these."""

    weights: FloatArray
    errors: FloatArray
    limit: float
    outlier: BoolArray
    cleaned: FloatArray


def fit(values: FloatArray, lags: int, probability: float) -> Fit:
    """Fit one forecaster on ``values`` [c] (in scales, in order), and the limit that errors exceed with a probability.

    The fit is repeated on values whose outliers were replaced by their forecasts, so that outliers affect neither the
    weights nor the limit. Errors are left-out errors: the diagonal of the hat matrix gives them in closed form (PRESS,
    Allen 1974).
    """
    plain = np.clip(values, -CLIP, CLIP)
    cleaned, outlier = plain, np.zeros(len(values), np.bool_)
    for _ in range(ROUNDS):
        beta, leverage = ridge(cleaned, lags)
        forecast = _forecasts(cleaned, beta, lags)
        error = values - forecast
        error[lags:] /= 1.0 - leverage
        limit = error_limit(np.abs(error[lags:]), probability)
        outlier = np.abs(error) > limit
        cleaned = np.where(outlier, np.clip(forecast, -CLIP, CLIP), plain)
    weights = np.zeros(TERMS)
    weights[0], weights[TERMS - lags :] = beta[0], beta[1:]
    error[:lags] = np.nan
    return Fit(weights, error, limit, outlier, cleaned)


def allowed_outliers(values: int) -> int:
    """Return the number of outliers in a calibration of this length that are not usual for the series."""
    return max(1, int(CONTAMINATION * values))


def error_limit(errors: FloatArray, probability: float) -> float:
    """Return the limit that one of ``errors`` [n], all positive, exceeds with a small ``probability``.

    The tail beyond the greatest twentieth is assumed exponential, with a slope from quantiles (Pickands 1975): a few
    outliers do not change it. If outliers are more than a hundredth they are usual for the series, and the limit is
    above most of them.
    """
    tenth, twentieth = np.quantile(errors, (1 - 2 * TAIL, 1 - TAIL))
    outliers = allowed_outliers(len(errors))
    usual = np.partition(errors, -1 - outliers)[-1 - outliers]
    slope = (twentieth - tenth) / np.log(2.0)
    limit = twentieth + slope * np.log(max(TAIL / probability, 1.0))
    return float(max(limit, USUAL_OUTLIER * usual, MIN_LIMIT))


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
        if best is None or size < BETTER * best[0]:
            best = size, axes @ coefficients, leverage
    assert best is not None  # noqa: S101 # there are penalties
    return np.concatenate(([y.mean() - centre @ best[1]], best[1])), best[2]


def _forecasts(values: FloatArray, beta: FloatArray, lags: int) -> FloatArray:
    """Return the forecast of each value [c]; of the first ``lags`` from the values after them, which has the same
    weights for a stationary series."""
    rows = np.lib.stride_tricks.sliding_window_view(values, lags)
    found = np.empty(len(values))
    found[lags:] = beta[0] + rows[:-1] @ beta[1:]
    found[:lags] = beta[0] + rows[1 : lags + 1] @ beta[:0:-1]
    return found
