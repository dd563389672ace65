"""The interface of an expert: it turns a window of every series into statistics that grow with the deviation.

Pure and columnar over series. The centre of a series is the median of its calibration, the scale about one standard
deviation of it. Values are distances from the centre in scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column
from edge_components.anomaly_detector.univariate.forecaster import Forecast, Weights
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows

FARTHEST = 1e6
"""Values farther from the centre are clipped, in scales."""


@dataclass(slots=True)
class SeriesState(Columns):
    """State that all experts share: ``centre`` and ``scale`` in the series' unit, the last values in scales
    (``history`` [series, lookback]), the number of windows since the fit (``age``) and the forecaster's ``weights``."""

    centre: FloatArray = column("experts.centre", 0.0)
    scale: FloatArray = column("experts.scale", 1.0)
    history: FloatArray = column("", 0.0)
    age: IntArray = column("experts.age", 0, np.int64)
    weights: Weights = column("experts.weights", 0.0, np.float32)


@dataclass(slots=True)
class Observation:
    """Input of the experts: one window of n series, in scales: its values [n], the ``previous`` mean, the mean that was
    ``predicted``, and the ``history`` [n, lookback] with this window as its last. ``forecast`` is for an expert with
    weights of its own. One that recognises a value as a single outlier sets its ``replacement`` [n], which is otherwise
    NaN."""

    windows: Windows
    value: FloatArray
    low: FloatArray
    high: FloatArray
    previous: FloatArray
    predicted: FloatArray
    history: FloatArray
    age: IntArray
    scale: FloatArray
    replacement: FloatArray
    forecast: Forecast

    def from_age(self, windows: int, values: FloatArray) -> FloatArray:
        """Return ``values`` [n] of series that have seen this number of windows since the fit, NaN for the others."""
        return np.where(self.age >= windows, values, np.nan)


@dataclass(slots=True)
class CalibrationData:
    """The calibration windows of n series: ``values`` [n, windows] in scales, ``count`` of readings and time ``slots``
    [n, windows], leave-one-out errors of the forecaster [n, windows], and the configured number of windows between
    false alarms."""

    values: FloatArray
    count: FloatArray
    slots: FloatArray
    errors: FloatArray
    windows_between_alarms: float


class Observed(Enum):
    """The value of a window that an expert evaluates, for reports."""

    MEAN = "mean"
    EXTREME = "minimum or maximum"
    SPREAD = "spread"


@dataclass(slots=True)
class NoState(Columns):
    """State of an expert that uses only the shared history."""


S = TypeVar("S", bound=Columns)


class Expert(Generic[S]):
    """One expert; its attributes are the same for all series, and its state has one row a series.

    ``name`` is unique and part of the saved state, with ``version``, which changes with the meaning of the state.
    ``statistics`` names the expert's statistics. Each is divided by its record (the second greatest of its maxima over
    the last blocks of windows); ``floors`` has the smallest divisor of each, in scales, for a series whose record is
    almost 0. An expert with ``own_limit`` gives scores itself: 1.0 is its alarm level, and it needs no floors.
    ``direction`` overrides "up" and "down" in reports.
    """

    name: ClassVar[str]
    cause: ClassVar[str]
    statistics: ClassVar[tuple[str, ...]]
    floors: ClassVar[tuple[float, ...]] = ()
    version: ClassVar[int] = 1
    own_limit: ClassVar[bool] = False
    observed: ClassVar[Observed] = Observed.MEAN
    direction: ClassVar[str] = ""
    compares_recent: ClassVar[bool] = False
    """True if the statistics compare the last windows with those immediately before, and end with a change."""
    holds_anomaly: ClassVar[tuple[str, ...]] = ()
    """Statistics that are usual again with the series itself: an anomaly lasts while one of them is not. The others are
    means over windows that the anomaly may have left."""
    replaces_outliers: ClassVar[bool] = False
    """True if the expert replaces outliers, so that earlier ones do not change its statistics."""
    lookback = 1
    """Windows of the shared history that the expert uses, at most the calibration's."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def new_state(self, n: int) -> S:
        """Return the state of ``n`` new series."""
        raise NotImplementedError

    def update(self, state: S, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Process a window: fill the statistics and the expected means [n, statistics], which are NaN, and change the
        state in place."""
        raise NotImplementedError

    def prepare(self, state: S, data: CalibrationData) -> None:
        """Fit a new state before the calibration windows are replayed through :meth:`update`."""

    def finish(self, state: S, data: CalibrationData, statistics: FloatArray) -> None:
        """Adjust state and statistics [windows, n, statistics] in place after the replay."""

    def refit(self, state: S, values: FloatArray) -> None:
        """Fit some states again on the last windows ``values`` [n, windows], in scales; their last anomaly is over."""

    def after_scoring(self, state: S, in_anomaly: BoolArray, scores: FloatArray) -> None:
        """Adjust the state after a window was scored [n, statistics]; ``in_anomaly`` [n] is as of before it."""

    def recent_mean(self, state: S, history: FloatArray, windows: int) -> FloatArray | None:
        """Return the expert's last statistic [n] over the last ``windows`` only, if it is a mean over windows."""
        return None

    def replace(self, state: S, rows: IntArray, window: Observation) -> None:
        """Remove the window's value from the state of some series: it was an outlier, whose replacement is now in the
        history. The statistics of the window itself were computed from the outlier."""

    def correct_history(self, state: S, rows: IntArray, history: FloatArray) -> None:
        """Replace outliers in the ``history`` [rows, lookback] of some series with a restored state."""

    def recentre(self, state: S, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
        """Adjust the state of some series to centres that moved by ``shift`` [rows], in scales, ``lasted`` [rows]
        windows ago, which is at least the lookback: subtract it from the values since then."""


class StatelessExpert(Expert[NoState]):
    """Base of experts that use only the shared history."""

    def new_state(self, n: int) -> NoState:
        """Return an empty state."""
        return NoState()


AnyExpert = Expert[Any]
