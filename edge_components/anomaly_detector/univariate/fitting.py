"""Fit series on their calibration windows: shared state, experts' states, and the records of their statistics. Pure."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.univariate import calibration, forecaster
from edge_components.anomaly_detector.univariate.calibration import Records
from edge_components.anomaly_detector.univariate.expert_set import ExpertSet, States
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, SeriesState
from edge_components.anomaly_detector.univariate.forecaster import plain_forecast
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import COUNT, MEAN, SLOT, Windows


def fit(
    ring: FloatArray,
    resolution: FloatArray,
    settings: Settings,
    experts: ExpertSet,
    windows_between_alarms: float,
    fitted: SeriesState | None = None,
) -> tuple[SeriesState, States, Records]:
    """Fit series on ``ring`` [n, windows, columns of Windows], oldest first; ``resolution`` [n] is in their units.

    ``fitted`` has the centres and scales to keep; by default they are estimated.
    """
    n, size, _ = ring.shape
    series, states = experts.new_series(n), experts.new_states(n)
    mean = ring[:, :, MEAN]
    series.centre = np.median(mean, axis=1) if fitted is None else fitted.centre
    series.scale = _scale(mean, series.centre, resolution) if fitted is None else fitted.scale
    values = (mean - series.centre[:, None]) / series.scale[:, None]
    errors = np.full(values.shape, np.nan)
    for row in range(n):
        series.weights[row], errors[row] = forecaster.fit(values[row], settings.lags)
    data = CalibrationData(values, ring[:, :, COUNT], ring[:, :, SLOT], errors, windows_between_alarms)
    experts.prepare(states, data)
    statistics = np.empty((size, n, experts.total))
    for at in range(size):
        statistics[at], _ = experts.update(series, states, Windows(*ring[:, at].T), plain_forecast)
    experts.finish(states, data, statistics)
    records = calibration.fit(statistics[:, :, : experts.scaled], settings.block, experts.floors, settings.margin)
    return series, states, records


def _scale(mean: FloatArray, centre: FloatArray, resolution: FloatArray) -> FloatArray:
    """Return each series' scale: robust where possible, and never below its resolution."""
    robust = 1.4826 * np.median(np.abs(mean - centre[:, None]), axis=1)
    floor = np.maximum(np.maximum(resolution, 1e-3 * np.abs(centre)), 1e-9)
    return np.asarray(np.maximum(np.maximum(robust, 0.5 * mean.std(axis=1)), floor), np.float64)
