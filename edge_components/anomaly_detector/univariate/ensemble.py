"""The univariate detector: windows of many series in, scores and changes of anomalies out.

Pure: no I/O and no clock; the same object scores a live stream and a recorded table. A series first collects windows.
With ``calibration`` windows together it is fitted, and these windows are replayed to record the experts' statistics.
From then on each window gets a score: the combined statistics over their alarm level, or the score of an expert with a
limit of its own, or of a model, if that is higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, Index, IntArray
from edge_components.anomaly_detector.univariate import calibration, ensemble_state, fitting, tracking
from edge_components.anomaly_detector.univariate.calibration import Records
from edge_components.anomaly_detector.univariate.expert_set import MODEL, ExpertSet
from edge_components.anomaly_detector.univariate.experts import EXPERTS
from edge_components.anomaly_detector.univariate.experts.base import AnyExpert, SeriesState
from edge_components.anomaly_detector.univariate.forecaster import Forecast, plain_forecast
from edge_components.anomaly_detector.univariate.model_scores import ModelScores
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tracking import Change, Tracks
from edge_components.anomaly_detector.univariate.windows import MEAN, CalibrationWindows, Windows
from wire.model import Phase

MONTH_MS = 30 * 86_400_000.0
GREATEST = 99.0
"""Upper bound of scores."""

FITS_A_STEP = 64
"""Maximum number of series fitted in one step, so that series that start together do not block the stream."""

GRACE_WINDOWS = 2
"""A series is silent in a window if others are ahead by this number of windows."""

STARTS_KEPT = 512
"""Number of window starts in memory, for counting the windows that a series missed."""


@dataclass(slots=True)
class Step:
    """The result of one step: ``score`` [n] and ``causes`` [n, causes], NaN where not scored, and the changes.

    ``cause``, ``value``, ``expected``, ``lower``, ``upper`` [n] are those of the cause with the highest score, in the
    series' own unit.
    """

    series_ids: IntArray
    score: FloatArray
    causes: FloatArray
    cause: IntArray
    value: FloatArray
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray
    changes: list[Change]
    start_ms: int

    @classmethod
    def unscored(cls, series_ids: IntArray, causes: int, start_ms: int) -> Step:
        """Return a step without scores."""
        n = len(series_ids)
        score, value, expected, lower, upper = (np.full(n, np.nan) for _ in range(5))
        by_cause, cause = np.full((n, causes), np.nan), np.zeros(n, np.int64)
        return cls(series_ids, score, by_cause, cause, value, expected, lower, upper, [], start_ms)


class Ensemble:
    """All series of a gateway (or of a table), by series id."""

    def __init__(
        self,
        settings: Settings,
        forecast: Forecast = plain_forecast,
        experts: Sequence[type[AnyExpert]] = EXPERTS,
    ) -> None:
        self.settings, self.forecast, self._kinds = settings, forecast, experts
        self.experts = ExpertSet(settings, experts)
        self.clear(0)

    def __len__(self) -> int:
        return len(self.floor)

    def clear(self, n: int) -> None:
        """Replace all state by that of ``n`` new series."""
        self.series, self.states, self.records, self.tracks, self.windows = self._new(n)
        self.floor = np.zeros(n)
        self.width_ms = 0
        self._starts: list[int] = []

    def configure(self, settings: Settings) -> None:
        """Use other settings with the same lengths of calibration and season."""
        self.settings, self.experts = settings, ExpertSet(settings, self._kinds)

    def add_series(self, resolutions: Sequence[float | None]) -> None:
        """Add series with the next ids, each with its resolution if known."""
        n = len(self) + len(resolutions)
        self.series, self.states = self.series.grown(n), [state.grown(n) for state in self.states]
        self.records, self.tracks, self.windows = self.records.grown(n), self.tracks.grown(n), self.windows.grown(n)
        self.floor = np.append(self.floor, [resolution or 0.0 for resolution in resolutions])

    def replace_series(self, series_ids: IntArray, resolutions: Sequence[float | None]) -> None:
        """Give the ids of forgotten series to new ones, each with its resolution if known."""
        series, states, *others = self._new(len(series_ids))
        olds: list[Columns] = [self.series, *self.states, self.records, self.tracks, self.windows]
        for old, new in zip(olds, (series, *states, *others), strict=True):
            old.put(series_ids, new)
        self.floor[series_ids] = [resolution or 0.0 for resolution in resolutions]

    def step(
        self, index: Index, start_ms: int, width_ms: int, windows: Windows, model_scores: ModelScores | None = None
    ) -> Step:
        """Score one window of some series, each at most once; one that is not later than its last is not scored.

        ``model_scores`` are those of models from outside for the same rows; they count during calibration, too.
        """
        series_ids = np.arange(len(self))[index] if isinstance(index, slice) else index
        self.width_ms = width_ms
        self._note_start(start_ms)
        step = Step.unscored(series_ids, len(self.experts.names), start_ms)
        windows = windows.clipped()
        later = self.windows.last_ms[series_ids] < start_ms
        present = later & np.isfinite(windows.mean) & (windows.count > 0)
        self.windows.advance(series_ids[present], start_ms, self.width_ms)
        self.windows.append(series_ids[present], windows.take(present))
        ready = present & self.windows.calibrated[series_ids]
        if ready.any():
            part = model_scores.take(ready) if model_scores is not None else None
            chosen = index if ready.all() else series_ids[ready]
            self._score(step, chosen, np.flatnonzero(ready), windows.take(ready), part)
            self._refit(series_ids[ready])
        if model_scores is not None:
            self._score_by_models(step, present & ~ready & np.isfinite(model_scores.score), windows, model_scores)
        waiting = series_ids[present & ~self.windows.calibrated[series_ids]]
        full = waiting[self.windows.count[waiting] >= self.settings.calibration][:FITS_A_STEP]
        if len(full):
            self._fit(full)
        return step

    def silent(self, now_ms: int) -> Step | None:
        """Return the scores of the series that are silent at event time ``now_ms``, or None if all have windows."""
        calibrated, width_ms = self.windows.calibrated, self.windows.width_ms
        horizon_ms = now_ms - GRACE_WINDOWS * width_ms
        last_ms = np.where(calibrated, self.windows.last_ms, horizon_ms)
        if not np.any(last_ms < horizon_ms):
            return None
        # Windows of any series that began since then: fewer than a series' own where no aggregates came at all, more
        # where other series have shorter windows.
        starts = np.array(self._starts)
        began = np.searchsorted(starts, horizon_ms, side="right") - np.searchsorted(starts, last_ms, side="right")
        missed = np.maximum(np.minimum(began, (horizon_ms - last_ms) // np.maximum(width_ms, 1)), 0)
        series_ids = np.flatnonzero(missed)
        if not len(series_ids):
            return None
        step, gap = Step.unscored(series_ids, len(self.experts.names), now_ms), self.experts.index("gap")
        limit = np.maximum(self.settings.gap_windows, 3 * self.windows.longest_gap[series_ids])
        step.causes[:, gap] = np.minimum(missed[series_ids] / limit, GREATEST)
        step.score[:], step.cause[:] = step.causes[:, gap], gap
        self._track(step, series_ids, np.arange(len(series_ids)))
        return step

    def last_means(self, series_id: int, windows: int) -> FloatArray:
        """Return the means of a series' last windows, oldest first."""
        return self.windows.in_order(np.array([series_id]))[0, -windows:, 0]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state to save, by storage name."""
        return ensemble_state.save(self)

    def restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Restore a saved :meth:`state`; raises ValueError if its layout is another."""
        ensemble_state.restore(self, arrays)

    def recalibrate(self, series_ids: IntArray) -> None:
        """Fit some series on their last windows."""
        self.windows.longest_gap[series_ids] = 0
        self._fit(series_ids)

    def windows_between_alarms(self) -> float:
        """Return the number of windows between false alarms."""
        rate = self.settings.false_alarms_per_month
        if rate is None:
            return calibration.UNSET_RATE * self.settings.calibration * self.settings.together
        return MONTH_MS / max(self.width_ms, 1) / rate * self.settings.together

    def _new(self, n: int) -> tuple[SeriesState, list[Columns], Records, Tracks, CalibrationWindows]:
        ring = {"ring": (self.settings.calibration, len(Windows.__slots__))}
        windows, records = CalibrationWindows.empty(n, ring), Records.new(n, self.experts.scaled)
        return self.experts.new_series(n), self.experts.new_states(n), records, Tracks.empty(n), windows

    def _note_start(self, start_ms: int) -> None:
        if not self._starts or start_ms > self._starts[-1]:
            self._starts.append(start_ms)
            del self._starts[:-STARTS_KEPT]

    def _score(
        self, step: Step, index: Index, at: npt.NDArray[np.intp], windows: Windows, model_scores: ModelScores | None
    ) -> None:
        """Score the rows ``at`` of a step, which are calibrated; ``index`` has their series ids."""
        experts, settings, scaled = self.experts, self.settings, self.experts.scaled
        series, records = self.series.take(index), self.records.take(index)
        states = [state.take(index) for state in self.states]
        statistic, expected = experts.update(series, states, windows, self.forecast)
        reference = calibration.references(records, experts.floors, settings.margin)
        ratio = statistic[:, :scaled] / reference
        mix = calibration.combined(ratio)
        rate_is_set = settings.false_alarms_per_month is not None
        level = calibration.levels(records, settings.calibration, self.windows_between_alarms(), rate_is_set)
        causes = step.causes[at]
        causes[:, :scaled] = ratio / level[:, None]
        causes[:, scaled:-1] = statistic[:, scaled:]
        score = mix / level
        for own in range(scaled, experts.total):
            score = np.fmax(score, statistic[:, own])
        if model_scores is not None:
            causes[:, -1] = model_scores.score
            score = np.fmax(score, model_scores.score)
        causes = np.minimum(causes, GREATEST)
        step.causes[at], step.score[at] = causes, np.minimum(score, GREATEST)
        step.cause[at] = np.where(np.isfinite(causes), causes, -1.0).argmax(axis=1)
        self._explain(step, at, series, statistic, expected, reference * level[:, None], windows)
        if model_scores is not None:
            self._explain_models(step, at, model_scores)
        in_anomaly = self.tracks.active[step.series_ids[at]]
        experts.after_scoring(states, in_anomaly, causes)
        calibration.learn(records, statistic[:, :scaled], reference, mix, ~in_anomaly, settings.block)
        self._recentre(step.series_ids[at], series, states, expected, causes)
        recent = self._recent(series, states, statistic, causes) if settings.is_long else None
        self.series.put(index, series)
        for state, part in zip(self.states, states, strict=True):
            state.put(index, part)
        self.records.put(index, records)
        self._track(step, step.series_ids[at], at, recent)

    def _recent(
        self, series: SeriesState, states: list[Columns], statistic: FloatArray, causes: FloatArray
    ) -> FloatArray:
        """Return the score [n] of the last windows alone: a mean over more windows, which may still contain an earlier
        anomaly, counts as that over the last ``end_windows``. Only after a long calibration; after a short one, means
        are over few windows."""
        experts = self.experts
        few = experts.recent_mean(states, series.history, self.settings.end_windows)
        few = few * causes[:, : experts.total] / np.where(statistic > 0, statistic, np.inf)
        scores = np.concatenate((np.where(experts.holds_anomaly, causes, 0.0), few), axis=1)
        return np.asarray(np.nan_to_num(scores).max(axis=1), np.float64)

    def _recentre(
        self, series_ids: IntArray, series: SeriesState, states: list[Columns], expected: FloatArray, causes: FloatArray
    ) -> None:
        """Move the centre of series [n] whose level has been another, and steady, for the experts' whole lookback.

        The anomaly then ends, and the next change is detected from the new level. Only after a long calibration: the
        lookback of a short one is less than the usual time to react to an anomaly.
        """
        experts, settings, tracks = self.experts, self.settings, self.tracks
        if not settings.is_long:
            return
        level, lasted = experts.index("level"), tracks.lasted[series_ids]
        changing = np.nan_to_num(causes[:, : experts.total][:, experts.compares_recent]).max(axis=1)
        calm = tracks.active[series_ids] & (changing < settings.end_level)
        steady = np.where(calm, tracks.steady[series_ids] + 1, 0)
        due = (steady >= settings.end_windows) & (lasted >= experts.lookback) & (causes[:, level] >= settings.end_level)
        tracks.steady[series_ids] = np.where(due, 0, steady)
        rows = np.flatnonzero(due)
        if len(rows):
            shift = series.history[rows].mean(axis=1) - expected[rows, level]
            experts.recentre(series, states, rows, shift, lasted[rows])

    def _refit(self, series_ids: IntArray) -> None:
        """Fit the experts' states again of series for which this is due: once for each length of the calibration, at
        another window for each, so that the load is even; not in an anomaly."""
        settings = self.settings
        if not settings.is_long:
            return
        age = self.series.age[series_ids]
        turn = (age + series_ids) % settings.calibration == 0
        due = series_ids[turn & (age > settings.calibration) & ~self.tracks.active[series_ids]]
        if len(due):
            series, states = self.series.take(due), [state.take(due) for state in self.states]
            mean = self.windows.in_order(due)[:, :, MEAN]
            self.experts.refit(states, (mean - series.centre[:, None]) / series.scale[:, None])
            for state, part in zip(self.states, states, strict=True):
                state.put(due, part)

    def _score_by_models(self, step: Step, which: BoolArray, windows: Windows, model_scores: ModelScores) -> None:
        """Score the rows that only models can score yet."""
        at = np.flatnonzero(which)
        if not len(at):
            return
        part = model_scores.take(at)
        step.score[at] = step.causes[at, -1] = np.minimum(part.score, GREATEST)
        step.cause[at], step.value[at] = self.experts.index(MODEL), windows.mean[at]
        self._explain_models(step, at, part)
        self._track(step, step.series_ids[at], at)

    def _explain(
        self,
        step: Step,
        at: npt.NDArray[np.intp],
        series: SeriesState,
        statistic: FloatArray,
        expected: FloatArray,
        levels: FloatArray,
        windows: Windows,
    ) -> None:
        """Fill value, expected value and bounds of the cause with the highest score; an own limit has no bounds."""
        experts, each, cause = self.experts, np.arange(len(at)), step.cause[at]
        has_bounds, is_expected = cause < experts.scaled, cause < experts.total
        reach = np.where(has_bounds, levels[each, np.minimum(cause, experts.scaled - 1)] * series.scale, np.nan)
        column = np.minimum(cause, experts.total - 1)
        centre = series.centre + np.where(is_expected, expected[each, column], np.nan) * series.scale
        farther = np.where(windows.high - centre > centre - windows.low, windows.high, windows.low)
        spread = experts.observes_spread[cause] & has_bounds
        value = np.where(experts.observes_extreme[cause], farther, windows.mean)
        step.value[at] = np.where(spread, statistic[each, column] * series.scale, value)
        step.expected[at] = centre
        # A spread is compared with the interval from zero to the largest usual spread.
        step.lower[at] = np.where(spread, 0.0, centre - reach)
        step.upper[at] = np.where(spread, reach, centre + reach)

    def _explain_models(self, step: Step, at: npt.NDArray[np.intp], model_scores: ModelScores) -> None:
        """Fill the models' expected values where theirs is the highest score."""
        by_model = step.cause[at] == self.experts.index(MODEL)
        rows, part = at[by_model], model_scores.take(by_model)
        step.expected[rows] = part.expected
        step.lower[rows], step.upper[rows] = part.expected - part.reach, part.expected + part.reach

    def _track(
        self, step: Step, series_ids: IntArray, at: npt.NDArray[np.intp], recent: FloatArray | None = None
    ) -> None:
        """Follow the anomalies of some series; ``recent`` [n] are the scores of their last windows alone, if known."""
        tracks, score = self.tracks.take(series_ids), step.score[at]
        if recent is not None:
            score = tracking.without_past(tracks, score, recent, self.settings)
        undisturbed = (step.causes[at][:, self.experts.replaces_outliers] >= 1.0).any(axis=1)
        cause, rest = step.cause[at], self.experts.rest
        changes = tracking.follow(tracks, score, cause, step.start_ms, self.settings, undisturbed, rest)
        self.tracks.put(series_ids, tracks)
        step.changes.extend(Change(int(at[c.row]), c.phase, c.drifted) for c in changes)
        alarmed = np.array([series_ids[c.row] for c in changes if c.phase is Phase.ONSET], np.intp)
        self.records.alarms[alarmed] += 1.0
        drifted = np.array([series_ids[c.row] for c in changes if c.drifted], np.intp)
        if len(drifted):
            self.recalibrate(drifted)

    def _fit(self, series_ids: IntArray) -> None:
        series, states, records = fitting.fit(
            self.windows.in_order(series_ids),
            self.floor[series_ids],
            self.settings,
            self.experts,
            self.windows_between_alarms(),
        )
        self.series.put(series_ids, series)
        for state, fitted in zip(self.states, states, strict=True):
            state.put(series_ids, fitted)
        self.records.put(series_ids, records)
        self.windows.calibrated[series_ids] = True
