"""The experts: each turns a window of every series into a statistic that grows with how odd the window is.

Pure and columnar over series. Values are standardised by the series' own centre and scale. Most give statistics that
:mod:`calibration` puts on one scale; ``stuck`` and ``gap`` count windows against limits of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column
from edge_components.anomaly_detector.univariate import forecaster, season
from edge_components.anomaly_detector.univariate.forecaster import Forecast, Weights
from edge_components.anomaly_detector.univariate.settings import Settings, Spans

NAMES = (
    "level",
    "shift",
    "spike",
    "step",
    "short_step",
    "noise",
    "forecast",
    "forecasts",
    "season",
    "seasons",
    "trend",
    "stuck",
    "gap",
    "model",
)
LEVEL, SHIFT, SPIKE, STEP, SHORT_STEP, NOISE, FORECAST, FORECASTS, SEASON, SEASONS, TREND, STUCK, GAP, MODEL = range(
    len(NAMES)
)
CAUSES = (
    "level",
    "level",
    "spike",
    "step",
    "step",
    "noise",
    "forecast",
    "forecast",
    "season",
    "season",
    "trend",
    "stuck",
    "gap",
    "model",
)
"""What each expert is called in a report: the longer and the shorter look at one thing have one name."""
MEASURED = 11
"""The first experts have statistics; stuck and gap count, and models from outside bring their scores along."""

FORGIVEN = 0.5
"""How much of each forecast's error, in deviations, the cumulated ones do not take in."""

FLAT = 1e-9
"""Changes below so many scales are none."""

FARTHEST = 1e6
"""Values farther from the centre, in scales, are as far."""

LARGEST = 1e100
"""Values beyond are taken for this: their squares must stay finite."""


@dataclass(slots=True)
class Windows:
    """One window of n series, each column [n]: mean, least and greatest value, spread (std), readings, time slot.

    A time slot is the window's number since the epoch.
    """

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    spread: FloatArray
    count: FloatArray
    slot: FloatArray

    def take(self, index: IntArray | BoolArray) -> Windows:
        """Return some of the series."""
        return Windows(*(getattr(self, name)[index] for name in self.__slots__))

    def bounded(self) -> Windows:
        """Return the windows with all values within plus and minus ``LARGEST``."""
        return Windows(*(np.clip(getattr(self, name), -LARGEST, LARGEST) for name in self.__slots__))


@dataclass(slots=True)
class ExpertState(Columns):
    """What the experts know of each series; all values but centre and scale are standardised."""

    centre: FloatArray = column(0.0)
    scale: FloatArray = column(1.0)
    history: FloatArray = column(0.0)
    roughness: FloatArray = column(0.0)
    errors: FloatArray = column(0.0)
    error_scale: FloatArray = column(1.0)
    rising: FloatArray = column(0.0)
    falling: FloatArray = column(0.0)
    season_errors: FloatArray = column(np.nan)
    season_ring: FloatArray = column(np.nan)
    season_last: IntArray = column(-1, np.int64)
    age: IntArray = column(0, np.int64)
    level: FloatArray = column(np.nan)
    slew: FloatArray = column(0.0)
    level_held: BoolArray = column(False, np.bool_)
    weights: Weights = column(0.0, np.float32)
    run: IntArray = column(0, np.int64)
    run_limit: FloatArray = column(np.inf)
    usual_count: FloatArray = column(0.0)
    deficit: FloatArray = column(0.0)


@dataclass(slots=True)
class Findings:
    """What the experts say of one window: ``statistic`` and ``expected`` [n, MEASURED], ``stuck`` and ``gap`` [n].

    NaN where an expert has not seen enough.
    """

    statistic: FloatArray
    expected: FloatArray
    stuck: FloatArray
    gap: FloatArray


def look(state: ExpertState, windows: Windows, settings: Settings, spans: Spans, forecast: Forecast) -> Findings:
    """Take a window in and return what the experts say of it; ``state`` is changed in place."""
    value, low, high = (_standard(column, state) for column in (windows.mean, windows.low, windows.high))
    before = state.history
    previous = before[:, -1].copy()
    predicted = forecast(forecaster.terms_of(before, spans.lags), state.weights)
    middle = np.median(before[:, -spans.spike :], axis=1)
    _push(state.history, value)
    state.age += 1
    statistic = np.full((len(value), MEASURED), np.nan)
    expected = np.full((len(value), MEASURED), np.nan)
    _level(state, spans, statistic, expected)
    expected[:, SPIKE] = middle
    away = np.maximum(np.abs(high - middle), np.abs(middle - low))
    statistic[:, SPIKE] = np.where(state.age > spans.spike, away, np.nan)
    _step(state, spans.step, STEP, statistic, expected)
    _step(state, spans.short_step, SHORT_STEP, statistic, expected)
    _noise(state, windows, value - previous, spans, statistic)
    _forecast(state, np.abs(value - predicted), predicted, spans, statistic, expected)
    if spans.trend:
        _trend(state, value - predicted, predicted, spans, statistic, expected)
    else:
        _shift(state, spans.level, statistic, expected)
    if settings.season:
        _season(state, windows, value, settings.season, statistic, expected)
    flat = (np.abs(value - previous) <= FLAT) & (windows.spread <= FLAT * state.scale) & (state.age > 1)
    state.run = np.where(flat, state.run + 1, 0)
    return Findings(statistic, expected, state.run / state.run_limit, _count_falls(state, windows))


def _standard(values: FloatArray, state: ExpertState) -> FloatArray:
    return np.asarray(np.clip((values - state.centre) / state.scale, -FARTHEST, FARTHEST), np.float64)


def _push(columns: FloatArray, value: FloatArray) -> None:
    columns[:, :-1] = columns[:, 1:].copy()
    columns[:, -1] = value


def _level(state: ExpertState, spans: Spans, statistic: FloatArray, expected: FloatArray) -> None:
    """Distance of the rolling mean from a level that moves no faster than it did while calibrating.

    In an anomaly of the level it moves slower still, or it would be there when the series comes back.
    """
    rolling = state.history[:, -spans.level :].mean(axis=1)
    ready = state.age >= spans.level
    state.level = np.where(ready & np.isnan(state.level), rolling, state.level)
    slew = np.where(state.level_held, 0.25, 1.0) * state.slew
    state.level += np.clip(rolling - state.level, -slew, slew)
    expected[:, LEVEL] = state.level
    statistic[:, LEVEL] = np.where(ready, np.abs(rolling - state.level), np.nan)


def _shift(state: ExpertState, span: int, statistic: FloatArray, expected: FloatArray) -> None:
    """Distance of the nearer quartile of the last windows from the median of twice as many before.

    A few bursts move neither, so where they hide a change from the means this sees it.
    """
    former = np.median(state.history[:, -3 * span : -span], axis=1)
    tail = span // 4
    ordered = np.partition(state.history[:, -span:], (tail, span - 1 - tail), axis=1)
    away = np.abs(ordered[:, [tail, span - 1 - tail]] - former[:, None]).min(axis=1)
    expected[:, SHIFT] = former
    statistic[:, SHIFT] = np.where(state.age >= 3 * span, away, np.nan)


def _step(state: ExpertState, span: int, expert: int, statistic: FloatArray, expected: FloatArray) -> None:
    """Change between the mean of the last windows and that of as many before."""
    former = state.history[:, -2 * span : -span].mean(axis=1)
    latter = state.history[:, -span:].mean(axis=1)
    expected[:, expert] = former
    statistic[:, expert] = np.where(state.age >= 2 * span, np.abs(latter - former), np.nan)


def _noise(state: ExpertState, windows: Windows, change: FloatArray, spans: Spans, statistic: FloatArray) -> None:
    """Root mean square of the spread within windows, or of the changes between them where one reading is a window."""
    rough = np.where(
        windows.count > 1, np.minimum(windows.spread / state.scale, FARTHEST), np.abs(change) / np.sqrt(2.0)
    )
    _push(state.roughness, rough)
    rms = np.sqrt(np.square(state.roughness).mean(axis=1))
    statistic[:, NOISE] = np.where(state.age > spans.noise, rms, np.nan)


def _forecast(
    state: ExpertState,
    error: FloatArray,
    predicted: FloatArray,
    spans: Spans,
    statistic: FloatArray,
    expected: FloatArray,
) -> None:
    """Error of the forecast, and the mean of the last errors."""
    _push(state.errors, error)
    expected[:, FORECAST] = expected[:, FORECASTS] = predicted
    statistic[:, FORECAST] = np.where(state.age > spans.lags, error, np.nan)
    statistic[:, FORECASTS] = np.where(state.age >= spans.lags + spans.errors, state.errors.mean(axis=1), np.nan)


def _trend(
    state: ExpertState,
    error: FloatArray,
    predicted: FloatArray,
    spans: Spans,
    statistic: FloatArray,
    expected: FloatArray,
) -> None:
    """Errors of the forecast that go one way for long, cumulated (CUSUM, Page 1954)."""
    ready = state.age > spans.lags
    state.rising, state.falling = (
        np.where(ready, column, 0.0) for column in cumulated(state.rising, state.falling, error / state.error_scale)
    )
    expected[:, TREND] = predicted
    statistic[:, TREND] = np.where(ready, np.maximum(state.rising, state.falling), np.nan)


def forget_trend(state: ExpertState, which: BoolArray) -> None:
    """Halve the cumulated errors of series that are in an anomaly: it has been told, and must be able to end."""
    state.rising = np.where(which, 0.5 * state.rising, state.rising)
    state.falling = np.where(which, 0.5 * state.falling, state.falling)


def cumulated(rising: FloatArray, falling: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the two sums one window on; ``error`` is in its own deviations, and one alone says little."""
    bounded = np.clip(error, -4.0, 4.0)
    return np.maximum(rising + bounded - FORGIVEN, 0.0), np.maximum(falling - bounded - FORGIVEN, 0.0)


def _season(
    state: ExpertState, windows: Windows, value: FloatArray, length: int, statistic: FloatArray, expected: FloatArray
) -> None:
    """Distance from the same time on former days, and the mean of the last distances."""
    slot = windows.slot.astype(np.int64)
    away, nearest = season.distance(state.season_ring, slot, value, length)
    season.put(state.season_ring, state.season_last, slot, value)
    _push(state.season_errors, away)
    expected[:, SEASON] = expected[:, SEASONS] = nearest
    statistic[:, SEASON] = away
    statistic[:, SEASONS] = state.season_errors.mean(axis=1)


def _count_falls(state: ExpertState, windows: Windows) -> FloatArray:
    """Cumulated shortfall of readings (CUSUM, Page 1954); a quarter too few is forgiven, two whole windows are not."""
    counted = state.usual_count >= 3
    short = np.where(counted, 1.0 - windows.count / np.maximum(state.usual_count, 1.0), 0.0)
    state.deficit = np.where(short <= 0.1, state.deficit / 2.0, np.clip(state.deficit + short - 0.25, 0.0, 4.0))
    return state.deficit / 2.0
