"""A linear forecaster for each series: the next value from the last ones, fitted in closed form (ridge regression).

Pure. A port computes the sums of products, so that a TFLite model can do it for all series at once.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.univariate.settings import MAX_LAGS

TERMS = MAX_LAGS + 1
RIDGE = 1 / 30
"""The ridge penalty for each window of the fit."""
CLIP = 8.0
"""Values are clipped to this number of scales in fit and forecast, which bounds the effect of one spike."""
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


def weights_of(coefficients: FloatArray) -> FloatArray:
    """Return the weights [TERMS] for :func:`terms_of`, from the constant and those of the lags [1 + lags]."""
    weights = np.zeros(TERMS)
    weights[0], weights[TERMS - len(coefficients) + 1 :] = coefficients[0], coefficients[1:]
    return weights


def fit(values: FloatArray, lags: int) -> tuple[FloatArray, FloatArray]:
    """Fit one forecaster on ``values`` [c] (in scales, in order).

    Returns its weights [TERMS] and its errors [c] as if each value had been left out of the fit, NaN for the first
    ``lags``. The diagonal of the hat matrix gives them in closed form (PRESS, Allen 1974).
    """
    clipped = np.clip(values, -CLIP, CLIP)
    rows = np.lib.stride_tricks.sliding_window_view(clipped, lags)[:-1]
    x = np.hstack((np.ones((len(rows), 1)), rows))
    y = clipped[lags:]
    gram = x.T @ x
    penalty = np.full(lags + 1, RIDGE * len(values))
    penalty[0] = 1e-6
    gram[np.diag_indices_from(gram)] += penalty
    inverse = np.linalg.inv(gram)
    beta = inverse @ (x.T @ y)
    leverage = np.minimum(np.einsum("ij,jk,ik->i", x, inverse, x), MAX_LEVERAGE)
    errors = np.full(len(values), np.nan)
    errors[lags:] = (values[lags:] - x @ beta) / (1.0 - leverage)
    return weights_of(beta), errors
