"""The detector itself: windows of many series in, scores and what is to be reported out.

Pure: no I/O and no clock; the same object scores a live stream and a recorded table. A series first only collects;
with ``calibration`` windows together it is fitted, the same windows are looked at again to learn how the experts'
statistics fall, and from then on each window gets a score: the loudest expert's statistic over its alarm level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, Index, IntArray
from edge_components.anomaly_detector.univariate import calibration, experts, fitting, forecaster, season, tracking
from edge_components.anomaly_detector.univariate.calibration import BLOCKS, Records
from edge_components.anomaly_detector.univariate.calibration_windows import Collected
from edge_components.anomaly_detector.univariate.experts import (
    GAP,
    LEVEL,
    MEASURED,
    MODEL,
    NAMES,
    STUCK,
    ExpertState,
    Windows,
)
from edge_components.anomaly_detector.univariate.forecaster import Forecast, plain_forecast
from edge_components.anomaly_detector.univariate.model_scores import Opinion
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tracking import Change, Tracks
from wire.model import Phase

MONTH_MS = 30 * 86_400_000.0
GREATEST = 99.0
"""Scores above it say nothing more."""

FITS_A_STEP = 64
"""Series fitted at most in one step, so that a fleet that begins together does not stall the stream."""

GRACE_WINDOWS = 2
"""A series counts as silent in a window when others are so many windows further."""


STARTS_KEPT = 512
"""Windows that are remembered to tell which of them a series has missed."""


@dataclass(slots=True)
class Step:
    """What one step gave: ``score`` [n] and ``causes`` [n, experts], NaN where not scored, and the changes.

    ``value``, ``expected``, ``lower``, ``upper`` [n] are those of the loudest expert, in the series' own unit.
    """

    index: IntArray
    score: FloatArray
    causes: FloatArray
    cause: IntArray
    value: FloatArray
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray
    changes: list[Change]
    start_ms: int


class Ensemble:
    """All series of a gateway (or of a table), by row number."""

    def __init__(self, settings: Settings, forecast: Forecast = plain_forecast, series: int = 0) -> None:
        self.settings, self.forecast = settings, forecast
        self._spans = spans = settings.spans
        self._shapes = {
            "history": (spans.history,),
            "roughness": (spans.noise,),
            "errors": (spans.errors,),
            "season_errors": (spans.season_errors,),
            "season_ring": (season.ring_size(settings.season),),
            "weights": (forecaster.TERMS,),
            "rows": (settings.calibration, len(Windows.__slots__)),
            "maxima": (MEASURED, BLOCKS),
            **dict.fromkeys(("first", "second", "current", "held"), (MEASURED,)),
        }
        self.experts = ExpertState.empty(series, self._shapes)
        self.records = Records.empty(series, self._shapes)
        self.tracks = Tracks.empty(series, self._shapes)
        self.collected = Collected.empty(series, self._shapes)
        self.floor = np.zeros(series)
        self.width_ms = 0
        self._starts: list[int] = []

    def __len__(self) -> int:
        return len(self.collected)

    def add_series(self, resolutions: Sequence[float | None]) -> None:
        """Make room for more series, numbered on from those there are; each with its resolution where it is known."""
        n = len(self) + len(resolutions)
        self.experts, self.records = self.experts.grown(n), self.records.grown(n)
        self.tracks, self.collected = self.tracks.grown(n), self.collected.grown(n)
        self.floor = np.append(self.floor, [resolution or 0.0 for resolution in resolutions])

    def replace_series(self, rows: IntArray, resolutions: Sequence[float | None]) -> None:
        """Give the rows of forgotten series to new ones; each with its resolution where it is known."""
        for part in (self.experts, self.records, self.tracks, self.collected):
            part.put(rows, type(part).empty(len(rows), self._shapes))  # type: ignore[arg-type]  # one type, row by row
        self.floor[rows] = [resolution or 0.0 for resolution in resolutions]

    def step(
        self, index: Index, start_ms: int, width_ms: int, windows: Windows, opinion: Opinion | None = None
    ) -> Step:
        """Score one window of some series, each at most once; one that is not later than its last is not scored.

        ``opinion`` is what models from outside say of the same rows; it counts for series that still collect, too.
        """
        rows = np.arange(len(self))[index] if isinstance(index, slice) else index
        self.width_ms = width_ms
        self._note_start(start_ms)
        step = self._blank(rows, start_ms)
        windows = windows.bounded()
        later = self.collected.last_ms[rows] < start_ms
        present = later & np.isfinite(windows.mean) & (windows.count > 0)
        self.collected.note_gaps(rows[present], start_ms, self.width_ms)
        self.collected.keep(rows[present], windows.take(present))
        ready = present & self.collected.calibrated[rows]
        if ready.any():
            whole = bool(ready.all())
            said = opinion.take(ready) if opinion is not None else None
            self._score(step, index if whole else rows[ready], np.flatnonzero(ready), windows.take(ready), said)
        if opinion is not None:
            self._take_opinion_only(step, present & ~ready & np.isfinite(opinion.score), windows, opinion)
        waiting = rows[present & ~self.collected.calibrated[rows]]
        full = waiting[self.collected.kept[waiting] >= self.settings.calibration][:FITS_A_STEP]
        if len(full):
            self._fit(full)
        return step

    def silent(self, now_ms: int) -> Step | None:
        """Return the scores of the series that are silent at event time ``now_ms``, or None where there are none."""
        late = self.collected.last_ms < now_ms - GRACE_WINDOWS * self.width_ms
        if not np.any(late & self.collected.calibrated):
            return None
        starts = np.array(self._starts)
        horizon = np.searchsorted(starts, now_ms - GRACE_WINDOWS * self.width_ms, side="right")
        seen = np.searchsorted(starts, self.collected.last_ms, side="right")
        missed = np.maximum(horizon - seen, 0) * self.collected.calibrated
        rows = np.flatnonzero(missed)
        if not len(rows):
            return None
        step = self._blank(rows, now_ms)
        limit = np.maximum(self.settings.gap_windows, 3 * self.collected.longest_gap[rows])
        step.causes[:, GAP] = np.minimum(missed[rows] / limit, GREATEST)
        step.score[:], step.cause[:] = step.causes[:, GAP], GAP
        self._follow(step, rows, np.arange(len(rows)))
        return step

    def last_means(self, row: int, windows: int) -> FloatArray:
        """Return the means of a series' last windows, oldest first."""
        return self.collected.in_order(np.array([row]))[0, -windows:, 0]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that must survive a restart, by name."""
        arrays = {
            f"{part}.{name}": getattr(getattr(self, part), name)
            for part in ("experts", "records", "tracks", "collected")
            for name in getattr(self, part).__slots__
        }
        return arrays | {"floor": self.floor, "width_ms": np.array([self.width_ms])}

    def restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take back what :meth:`state` gave; raises ValueError where it is of another layout."""
        mine = self.state()
        if set(arrays) != set(mine):
            raise ValueError("other columns than this version keeps")
        n = len(arrays["floor"])
        for name, kept in arrays.items():
            wanted = mine[name] if name == "width_ms" else np.empty((n, *mine[name].shape[1:]), mine[name].dtype)
            if kept.shape != wanted.shape or kept.dtype != wanted.dtype:
                raise ValueError(f"{name}: {kept.dtype} {kept.shape}, this version keeps {wanted.dtype} {wanted.shape}")
        for part in ("experts", "records", "tracks", "collected"):
            kind = type(getattr(self, part))
            setattr(self, part, kind(**{name: arrays[f"{part}.{name}"].copy() for name in kind.__slots__}))
        self.floor, self.width_ms = arrays["floor"].copy(), int(arrays["width_ms"][0])

    def _blank(self, rows: IntArray, start_ms: int) -> Step:
        n = len(rows)
        nothing = [np.full(n, np.nan) for _ in range(5)]
        score, value, expected, lower, upper = nothing
        causes, cause = np.full((n, len(NAMES)), np.nan), np.zeros(n, np.int64)
        return Step(rows, score, causes, cause, value, expected, lower, upper, [], start_ms)

    def _note_start(self, start_ms: int) -> None:
        if not self._starts or start_ms > self._starts[-1]:
            self._starts.append(start_ms)
            del self._starts[:-STARTS_KEPT]

    def _score(
        self, step: Step, index: Index, at: npt.NDArray[np.intp], windows: Windows, opinion: Opinion | None
    ) -> None:
        state, records = self.experts.take(index), self.records.take(index)
        found = experts.look(state, windows, self.settings, self._spans, self.forecast)
        reference = calibration.references(records)
        mix = calibration.joined(found.statistic / reference)
        level = calibration.levels(
            records,
            self.settings.calibration,
            self._windows_between_alarms(),
            seen_counts=self.settings.false_alarms_per_month is not None,
        )
        causes = step.causes[at]
        causes[:, :MEASURED] = found.statistic / reference / level[:, None]
        causes[:, STUCK], causes[:, GAP] = found.stuck, found.gap
        score = np.fmax(np.fmax(mix / level, found.stuck), found.gap)
        if opinion is not None:
            causes[:, MODEL] = opinion.score
            score = np.fmax(score, opinion.score)
        causes = np.minimum(causes, GREATEST)
        step.causes[at], step.score[at] = causes, np.minimum(score, GREATEST)
        step.cause[at] = np.where(np.isfinite(causes), causes, -1.0).argmax(axis=1)
        self._explain(step, at, state, found, reference * level[:, None], windows)
        if opinion is not None:
            _explain_opinion(step, at, opinion)
        learning = ~self.tracks.active[step.index[at]]
        experts.forget_trend(state, ~learning)
        state.level_held = ~learning & (causes[:, LEVEL] >= self.settings.end_level)
        self.experts.put(index, state)
        calibration.learn(records, found.statistic, reference, mix, learning, self._spans.block)
        self.records.put(index, records)
        self._follow(step, step.index[at], at)

    def _take_opinion_only(self, step: Step, which: BoolArray, windows: Windows, opinion: Opinion) -> None:
        """Score the rows of which only models have something to say yet."""
        at = np.flatnonzero(which)
        if not len(at):
            return
        said = opinion.take(at)
        step.score[at] = step.causes[at, MODEL] = np.minimum(said.score, GREATEST)
        step.cause[at], step.value[at] = MODEL, windows.mean[at]
        _explain_opinion(step, at, said)
        self._follow(step, step.index[at], at)

    def _explain(
        self,
        step: Step,
        at: npt.NDArray[np.intp],
        state: ExpertState,
        found: experts.Findings,
        levels: FloatArray,
        windows: Windows,
    ) -> None:
        each = np.arange(len(at))
        cause = np.minimum(step.cause[at], MEASURED - 1)
        counted = step.cause[at] >= MEASURED
        expected = np.where(counted, np.nan, found.expected[each, cause])
        reach = levels[each, cause] * state.scale
        noise = cause == experts.NOISE
        spike = cause == experts.SPIKE
        centre = state.centre + expected * state.scale
        farther = np.where(windows.high - centre > centre - windows.low, windows.high, windows.low)
        step.value[at] = np.where(spike & ~counted, farther, windows.mean)
        step.expected[at] = centre
        step.lower[at], step.upper[at] = centre - reach, centre + reach
        # Noise is told in spreads: what was seen against the most that is usual.
        rms = found.statistic[each, experts.NOISE] * state.scale
        step.value[at] = np.where(noise & ~counted, rms, step.value[at])
        step.upper[at] = np.where(noise & ~counted, reach, step.upper[at])
        step.lower[at] = np.where(noise & ~counted, 0.0, step.lower[at])

    def _follow(self, step: Step, rows: IntArray, at: npt.NDArray[np.intp]) -> None:
        tracks = self.tracks.take(rows)
        changes = tracking.follow(tracks, step.score[at], step.cause[at], step.start_ms, self.settings)
        self.tracks.put(rows, tracks)
        step.changes.extend(Change(int(at[c.row]), c.phase, c.drifted) for c in changes)
        alarmed = np.array([rows[c.row] for c in changes if c.phase is Phase.ONSET], np.intp)
        self.records.alarms[alarmed] += 1.0
        drifted = np.array([rows[c.row] for c in changes if c.drifted], np.intp)
        if len(drifted):
            self.recalibrate(drifted)

    def recalibrate(self, rows: IntArray) -> None:
        """Fit some series anew, on their last windows."""
        self.collected.longest_gap[rows] = 0
        self._fit(rows)

    def _windows_between_alarms(self) -> float:
        wanted = self.settings.false_alarms_per_month
        if wanted is None:
            return calibration.OF_ITSELF * self.settings.calibration * self.settings.together
        return MONTH_MS / max(self.width_ms, 1) / wanted * self.settings.together

    def _fit(self, rows: IntArray) -> None:
        kept = self.collected.in_order(rows)
        between = self._windows_between_alarms()
        state, records = fitting.fit(kept, self.floor[rows], self.settings, self._shapes, between)
        self.experts.put(rows, state)
        self.records.put(rows, records)
        self.collected.calibrated[rows] = True


def _explain_opinion(step: Step, at: npt.NDArray[np.intp], opinion: Opinion) -> None:
    """Put the models' expectations where theirs is the loudest cause."""
    by_model = step.cause[at] == MODEL
    rows, said = at[by_model], opinion.take(by_model)
    step.expected[rows] = said.expected
    step.lower[rows], step.upper[rows] = said.expected - said.reach, said.expected + said.reach
