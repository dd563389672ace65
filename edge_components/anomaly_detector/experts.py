"""The experts: each turns a window of every series into a statistic that grows with how odd the window is.

Pure and columnar over series. Values are standardised by the series' own centre and scale. The first five give
statistics that :mod:`calibration` puts on one scale; ``stuck`` and ``gap`` count windows against their own limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector import forecaster
from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column
from edge_components.anomaly_detector.forecaster import Forecast
from edge_components.anomaly_detector.spans import Spans

NAMES = ("level", "spike", "step", "noise", "forecast", "stuck", "gap")
LEVEL, SPIKE, STEP, NOISE, FORECAST, STUCK, GAP = range(len(NAMES))
MEASURED = 5
"""The first experts have statistics; the others count."""

FLAT = 1e-9
"""Changes below so many scales are none."""


@dataclass(slots=True)
class Windows:
    """One window of n series, each column [n]: mean, least and greatest value, spread (std), readings."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    spread: FloatArray
    count: FloatArray

    def take(self, index: IntArray | BoolArray) -> Windows:
        """Return some of the series."""
        return Windows(*(getattr(self, name)[index] for name in self.__slots__))


@dataclass(slots=True)
class ExpertState(Columns):
    """What the experts know of each series; all values but centre and scale are standardised."""

    centre: FloatArray = column(0.0)
    scale: FloatArray = column(1.0)
    history: FloatArray = column(0.0)
    roughness: FloatArray = column(0.0)
    age: IntArray = column(0, np.int64)
    level: FloatArray = column(np.nan)
    slew: FloatArray = column(0.0)
    weights: FloatArray = column(0.0)
    run: IntArray = column(0, np.int64)
    run_limit: FloatArray = column(np.inf)
    usual_count: FloatArray = column(0.0)
    deficit: FloatArray = column(0.0)


@dataclass(slots=True)
class Findings:
    """What the experts say of one window: ``statistic`` and ``expected`` [n, MEASURED], ``stuck`` and ``gap`` [n].

    ``value`` is the standardised mean; NaN where an expert has not seen enough.
    """

    value: FloatArray
    statistic: FloatArray
    expected: FloatArray
    stuck: FloatArray
    gap: FloatArray


def look(state: ExpertState, windows: Windows, spans: Spans, forecast: Forecast) -> Findings:
    """Take a window in and return what the experts say of it; ``state`` is changed in place."""
    value = (windows.mean - state.centre) / state.scale
    low, high = (windows.low - state.centre) / state.scale, (windows.high - state.centre) / state.scale
    before = state.history
    previous = before[:, -1].copy()
    predicted = forecast(forecaster.terms_of(before, spans.lags), state.weights)
    middle = np.median(before[:, -spans.spike :], axis=1)
    state.history[:, :-1] = before[:, 1:].copy()
    state.history[:, -1] = value
    state.age += 1
    statistic = np.full((len(value), MEASURED), np.nan)
    expected = np.full((len(value), MEASURED), np.nan)
    _level(state, spans, statistic, expected)
    ready = state.age > spans.spike
    expected[:, SPIKE] = middle
    statistic[:, SPIKE] = np.where(ready, np.maximum(np.abs(high - middle), np.abs(middle - low)), np.nan)
    _step(state, spans, statistic, expected)
    _noise(state, windows, value - previous, spans, statistic)
    ready = state.age > spans.lags
    expected[:, FORECAST] = predicted
    statistic[:, FORECAST] = np.where(ready, np.abs(value - predicted), np.nan)
    flat = (np.abs(value - previous) <= FLAT) & (windows.spread <= FLAT * state.scale) & (state.age > 1)
    state.run = np.where(flat, state.run + 1, 0)
    return Findings(value, statistic, expected, state.run / state.run_limit, _count_falls(state, windows))


def _level(state: ExpertState, spans: Spans, statistic: FloatArray, expected: FloatArray) -> None:
    """Distance of the rolling mean from a level that moves no faster than it did while calibrating."""
    rolling = state.history[:, -spans.level :].mean(axis=1)
    ready = state.age >= spans.level
    state.level = np.where(ready & np.isnan(state.level), rolling, state.level)
    state.level += np.clip(rolling - state.level, -state.slew, state.slew)
    expected[:, LEVEL] = state.level
    statistic[:, LEVEL] = np.where(ready, np.abs(rolling - state.level), np.nan)


def _step(state: ExpertState, spans: Spans, statistic: FloatArray, expected: FloatArray) -> None:
    """Change between the mean of the last windows and that of as many before."""
    former = state.history[:, -2 * spans.step : -spans.step].mean(axis=1)
    latter = state.history[:, -spans.step :].mean(axis=1)
    expected[:, STEP] = former
    statistic[:, STEP] = np.where(state.age >= 2 * spans.step, np.abs(latter - former), np.nan)


def _noise(state: ExpertState, windows: Windows, change: FloatArray, spans: Spans, statistic: FloatArray) -> None:
    """Root mean square of the spread within windows, or of the changes between them where one reading is a window."""
    rough = np.where(windows.count > 1, windows.spread / state.scale, np.abs(change) / np.sqrt(2.0))
    state.roughness[:, :-1] = state.roughness[:, 1:].copy()
    state.roughness[:, -1] = rough
    rms = np.sqrt(np.square(state.roughness[:, -spans.noise :]).mean(axis=1))
    statistic[:, NOISE] = np.where(state.age > spans.noise, rms, np.nan)


def _count_falls(state: ExpertState, windows: Windows) -> FloatArray:
    """Cumulated shortfall of readings (CUSUM, Page 1954); a quarter too few is forgiven, two whole windows are not."""
    counted = state.usual_count >= 3
    short = np.where(counted, 1.0 - windows.count / np.maximum(state.usual_count, 1.0), 0.0)
    state.deficit = np.where(short <= 0.1, state.deficit / 2.0, np.clip(state.deficit + short - 0.25, 0.0, 4.0))
    return state.deficit / 2.0
