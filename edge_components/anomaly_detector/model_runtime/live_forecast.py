"""The forecaster's model in use; if it fails, NumPy replaces it immediately and permanently."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime.calls import Calls
from edge_components.anomaly_detector.univariate.forecaster import Forecast, Weights, plain_forecast


class LiveForecast:
    """See :class:`edge_components.anomaly_detector.univariate.forecaster.Forecast`; ``failed`` is called once, with the
    reason."""

    def __init__(self, forecast: Forecast, calls: Calls, failed: Callable[[str], None]) -> None:
        self._forecast, self.calls, self._failed = forecast, calls, failed
        self.works = True

    def __call__(self, terms: FloatArray, weights: Weights) -> FloatArray:
        """Return one forecast a series, with the model or with NumPy."""
        if self.works:
            try:
                found = self.calls.make(self._forecast, terms, weights)
                # The product is finite in all usual cases, and three times as fast as checking each value.
                if self.calls.last_s > self.calls.allowed_s or not math.isfinite(found.dot(found)):
                    self._check(found, terms, weights)
                return found
            except ModelRejectedError as error:
                self.works = False
                self._failed(f"{error} (call {self.calls.made})")
        return plain_forecast(terms, weights)

    def _check(self, found: FloatArray, terms: FloatArray, weights: Weights) -> None:
        calls, wrong = self.calls, ~np.isfinite(found)
        if wrong.any() and np.isfinite(plain_forecast(terms, weights)[wrong]).any():
            raise ModelRejectedError(f"{calls.name}: a forecast is not finite")
        if calls.too_slow:
            raise ModelRejectedError(
                f"{calls.name}: {calls.slow} of its {calls.made} calls took more than {calls.allowed_s * 1000:g} ms, "
                f"the last {calls.last_s * 1000:.1f} ms"
            )
