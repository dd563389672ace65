"""A linear forecaster a series: the next value from the last ones, fitted in closed form (ridge).

Pure. The products are summed by a port, so that a TFLite model can do it for all series at once.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.univariate.settings import LAGS

TERMS = LAGS + 1
RIDGE = 1 / 30
"""The ridge penalty, by windows fitted on."""
CLIP = 8.0
"""Values enter the fit and the forecast clipped to so many scales, so that one spike cannot throw either."""


Weights = npt.NDArray[np.float32]
"""As the TFLite model takes them: kept so, no call has to convert them."""


class Forecast(Protocol):
    """Sums of products: ``terms`` and ``weights`` [n, TERMS] to [n]."""

    def __call__(self, terms: FloatArray, weights: Weights) -> FloatArray:
        """Return one forecast a series."""


def plain_forecast(terms: FloatArray, weights: Weights) -> FloatArray:
    """Forecast with NumPy; what the TFLite model is held against, and what stands in when no model may run."""
    return np.asarray(np.einsum("nt,nt->n", terms, weights), np.float64)


def terms_of(history: FloatArray, lags: int) -> FloatArray:
    """Return [n, TERMS]: a one, then the last ``lags`` values of ``history`` [n, h], newest last, zeros before them."""
    terms = np.zeros((len(history), TERMS))
    terms[:, 0] = 1.0
    terms[:, TERMS - lags :] = np.clip(history[:, -lags:], -CLIP, CLIP)
    return terms


def fit(values: FloatArray, lags: int) -> tuple[FloatArray, FloatArray]:
    """Fit one forecaster on ``values`` [c] (standardised, in order).

    Returns its weights [TERMS] and its errors [c] as if each had been left out of the fit (the hat matrix' diagonal
    gives them in closed form, Allen's PRESS), NaN for the first ``lags``.
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
    leverage = np.minimum(np.einsum("ij,jk,ik->i", x, inverse, x), 0.95)
    weights = np.zeros(TERMS)
    weights[0], weights[TERMS - lags :] = beta[0], beta[1:]
    errors = np.full(len(values), np.nan)
    errors[lags:] = (values[lags:] - x @ beta) / (1.0 - leverage)
    return weights, errors
