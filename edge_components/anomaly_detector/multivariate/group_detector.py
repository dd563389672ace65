"""Anomaly detection over a group of series that are measured together, such as the channels of one machine.

Pure, one object a group, one row at a time. A group first collects ``calibration`` rows. From then on the moving means
of its channels are compared with their levels (:mod:`baseline`), and an anomaly begins when the distance stays
above the alarm level. That level follows from the configured rate of false alarms (:mod:`alarm_level`). During an
anomaly the levels are frozen, and the fraction of the fault that remains is estimated (:mod:`recovery`). So an anomaly
ends when the deviation has ended, even if a slow channel, such as a temperature, has meanwhile moved permanently. While
the steady channels with which it began are far from their levels, it does not end (:mod:`persistence`). The
position of such a channel becomes its new level, which is followed without a speed limit for a while; the old levels of
all channels remain valid too. If no channel of the group wanders, an anomaly also lasts while the last rows are far
from the levels (:mod:`stationary`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray, push, read_array, saved_fields, stored, to_arrays
from edge_components.anomaly_detector.multivariate import baseline as base
from edge_components.anomaly_detector.multivariate.alarm_level import AlarmLevel
from edge_components.anomaly_detector.multivariate.baseline import Baseline
from edge_components.anomaly_detector.multivariate.persistence import DEVIATED, Persistence, distance_from
from edge_components.anomaly_detector.multivariate.recovery import RecoveryDetector
from edge_components.anomaly_detector.multivariate.stationary import END_LEVEL as STATIONARY_END_LEVEL
from edge_components.anomaly_detector.multivariate.stationary import StationaryModel
from edge_components.anomaly_detector.multivariate.stationary import fit as fit_stationary
from wire.model import Phase

GREATEST = 99.0
OUTLIER_ROWS = 2
"""Consecutive values that may be left out as outliers; after that the channel has moved."""
ONSET_ROWS = 4
"""Rows with a score of 1.0 or more after which an anomaly begins."""
END_LEVEL = 0.6
"""All channels have returned to their previous level when the score of the shorter span is below this level."""
SETTLE_ROWS = 35
"""Rows after an end in which only a return of the anomaly is detected. After them each channel keeps its level from
before the anomaly, or gets its present one."""
FOLLOWED = 2
"""A channel that an anomaly has moved is followed for this multiple of the anomaly's rows, at most the length of the
calibration."""
LONG_ROWS = 60
"""Minimum length, in rows, of an anomaly after which channels are followed: a shorter one does not heat a machine, and
the next fault must not be followed."""

WANDERING_DRIFT = 2
"""An anomaly of a group with wandering channels ends as drift after this part of the configured rows: in such a group
a new level is more probable than a fault that lasts."""


@dataclass(slots=True)
class Finding:
    """The result of a row: ``score`` (NaN while calibrating), whether it is in an anomaly, each channel's ``share`` [c]
    of the score (0 to 1), the ``expected`` values and their distance from the alarm level (``reach``) in the channels'
    own units [c], and the anomaly's ``phase`` if this row changes it (``drifted``: it ended as drift)."""

    score: float
    anomaly: bool
    share: FloatArray
    expected: FloatArray
    reach: FloatArray
    phase: Phase | None = None
    drifted: bool = False

    @property
    def channel(self) -> int:
        """The channel with the largest share."""
        return int(self.share.argmax())


@dataclass(slots=True)
class State:
    """State of a group in arrays, saved over a restart. Values are standardised, except ``rows``."""

    rows: FloatArray = stored("state.rows")
    """Calibration rows [calibration, c], in the channels' units."""
    recent: FloatArray = stored("state.recent")
    """The last medians of three rows [history, c]: noise often has heavy tails."""
    last: FloatArray = stored("state.last")
    """The last three rows."""
    outliers: npt.NDArray[np.int64] = stored("state.wild")
    """Consecutive outliers of each channel that were left out."""
    level: FloatArray = stored("state.level")
    """The slow levels."""
    old: FloatArray = stored("state.old")
    """The levels before the last anomaly, NaN if they are not valid any more."""
    anchor: FloatArray = stored("state.anchor")
    """The levels at the onset of the anomaly."""
    settled: FloatArray = stored("state.settled")
    """Mean of the rows since the end of the anomaly."""
    free: FloatArray = stored("state.free")
    """Further rows for which each channel's level is followed without a speed limit."""
    counts: npt.NDArray[np.int64] = stored("state.counts")
    """Counters at the indexes below."""


KEPT, ACTIVE, ABOVE, SETTLING, CALM, REPORTED = range(6)


class GroupDetector:
    """One group of ``channels`` series."""

    def __init__(self, channels: int, calibration: int, drift_rows: int, update_rows: int) -> None:
        self.calibration, self.drift_rows, self.update_rows = calibration, drift_rows, update_rows
        self.baseline: Baseline | None = None
        self.rows_between: float | None = None
        """Rows between false alarms; None for the alarm level of the calibration."""
        self._stationary: StationaryModel | None = None
        self.level = 1.0
        """Scores are distances divided by this level."""
        self._alarm_level = AlarmLevel.empty(ONSET_ROWS)
        self._recovery = RecoveryDetector.empty(channels)
        self._persistence = Persistence.empty(channels)
        nothing = np.full(channels, np.nan)
        self._state = State(
            rows=np.full((calibration, channels), np.nan),
            recent=np.zeros((base.HISTORY, channels)),
            last=np.zeros((3, channels)),
            outliers=np.zeros(channels, np.int64),
            level=nothing.copy(),
            old=nothing.copy(),
            anchor=nothing.copy(),
            settled=np.zeros(channels),
            free=np.zeros(channels),
            counts=np.zeros(6, np.int64),
        )

    @property
    def seen(self) -> int:
        """Number of rows so far."""
        return int(self._state.counts[KEPT])

    def step(self, row: FloatArray) -> Finding:
        """Process a row [c], NaN where a value is missing, and return its result."""
        state, counts = self._state, self._state.counts
        counts[KEPT] += 1
        if self.baseline is None:
            state.rows[counts[KEPT] - 1] = row
            if counts[KEPT] >= self.calibration:
                self._fit()
            nothing = np.full(len(row), np.nan)
            return Finding(np.nan, False, np.zeros(len(row)), nothing, nothing)
        self._push(self.baseline, row)
        self.level = 1.0 if self.rows_between is None else self._alarm_level.level(self.rows_between)
        return self._score(self.baseline)

    def history(self, channel: int, rows: int) -> FloatArray:
        """Return a calibrated channel's last rows without outliers, in its unit."""
        assert self.baseline is not None  # noqa: S101 # only calibrated groups report
        last = self._state.recent[-rows:, channel]
        return np.asarray(self.baseline.centre[channel] + last * self.baseline.scale[channel], np.float64)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state to save, by storage name."""
        kept = to_arrays(self._state) | to_arrays(self._alarm_level) | to_arrays(self._recovery)
        kept |= to_arrays(self._persistence)
        kept |= to_arrays(self._stationary) if self._stationary is not None else {}
        return kept | to_arrays(self.baseline) if self.baseline is not None else kept

    def restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Restore a saved :meth:`state`; raises ValueError if its layout is another."""
        parts = (self._state, self._alarm_level, self._recovery)
        restored: list[Any] = []
        for part in parts:
            likes = {field: getattr(part, field) for field in saved_fields(part)}
            names = saved_fields(part)
            saved = {field: read_array(arrays, names[field], like.shape, like.dtype) for field, like in likes.items()}
            restored.append(type(part)(**saved))
        fitted = {field: arrays[name].copy() for field, name in saved_fields(Baseline).items() if name in arrays}
        if fitted and len(fitted) < len(saved_fields(Baseline)):
            raise ValueError(f"baseline has only {', '.join(fitted)}")
        self.baseline = Baseline(**fitted) if fitted else None
        persistence = Persistence.read(arrays, len(restored[0].level))
        self._stationary = StationaryModel.read(arrays, len(restored[0].level))
        if self.baseline is not None and self._stationary is not None:
            # An earlier version saved a speed although it did not use it.
            self.baseline.slew[:] = 0.0
        (self._state, self._alarm_level, self._recovery), self._persistence = restored, persistence

    def _fit(self) -> None:
        state = self._state
        self.baseline, usual = base.fit(state.rows)
        self._stationary = fit_stationary(state.rows, self.baseline)
        self._alarm_level.fit(usual)
        values = self.baseline.standard(base.filled(state.rows))
        state.last[:] = values[-3:]
        values = base.middle_of_three(values)
        state.recent[:] = values[-base.HISTORY :]
        if self._stationary is not None:
            cleaned, _ = base.cleaned(base.filled(state.rows), self.baseline.centre, self.baseline.scale)
            state.level[:] = cleaned.mean(axis=0)
            return
        level = values[: max(base.SPANS)].mean(axis=0)
        for row in range(base.HISTORY, len(values)):
            level = base.moving_level(level, base.means_of(values[row - base.HISTORY : row])[-1], self.baseline.slew)
        state.level[:] = level

    def _push(self, baseline: Baseline, row: FloatArray) -> None:
        state = self._state
        value = baseline.standard(row)
        mean = state.recent[-base.SPANS[0] :].mean(axis=0)
        missing = ~np.isfinite(value)
        far = ~missing & (np.abs(value - mean) > baseline.jump)
        outlier = far & (state.outliers < OUTLIER_ROWS)
        state.outliers[:] = np.where(outlier, state.outliers + 1, np.where(far, state.outliers, 0))
        push(state.last, baseline.impute(value, ~missing & ~outlier, mean))
        push(state.recent, np.median(state.last, axis=0))

    def _score(self, baseline: Baseline) -> Finding:
        state, counts = self._state, self._state.counts
        means = base.means_of(state.recent)
        rough, rough_together = baseline.rough(base.roughness_of(state.recent))
        roughest = max(float(rough.max()), rough_together)
        if not counts[ACTIVE]:
            slew = np.where(state.free > 0, np.inf, baseline.slew)
            state.level[:] = base.moving_level(state.level, means[-1], slew)
            state.free -= state.free > 0
        level, alone, together = self._nearest(baseline, means)
        score = min(max(float(alone.max()), together, roughest) / self.level, GREATEST)
        share = rough if roughest > alone.max() else alone
        if together > max(alone.max(), roughest):
            share = baseline.shares(means, level)
        phase, drifted = None, False
        if counts[ACTIVE]:
            back = roughest < END_LEVEL * self.level and self._is_back(baseline, means)
            lasts = self._lasts(baseline, means, roughest)
            deviation = baseline.deviation(means, state.anchor, rough)
            phase, drifted = self._continue(deviation, baseline.wander, back, lasts)
        elif counts[SETTLING]:
            phase = self._settle(baseline, baseline.deviation(means, state.anchor, rough), score)
        else:
            phase = self._watch(baseline.deviation(means, level, rough), level, score)
        expected = baseline.centre + level * baseline.scale
        reach = (baseline.alone * baseline.spread).min(axis=0) * baseline.scale * self.level
        return Finding(
            score, bool(counts[ACTIVE]), share / max(float(share.sum()), 1e-12), expected, reach, phase, drifted
        )

    def _nearest(self, baseline: Baseline, means: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Return the nearest of the valid levels, and the distances of the means from it."""
        state = self._state
        usual = state.anchor if state.counts[ACTIVE] else state.level
        followed = (state.free > 0) & (state.counts[ACTIVE] == 0)
        levels = [usual]
        if np.isfinite(state.old).all():
            levels.append(np.where(followed, usual, state.old))
        found = [(level, *baseline.level_distances(means, level, ~followed)) for level in levels]
        return min(found, key=lambda one: max(float(one[1].max()), one[2]))

    def _watch(self, deviation: FloatArray, level: FloatArray, score: float) -> Phase | None:
        """Process a row outside of an anomaly; return the onset if one begins."""
        state, counts = self._state, self._state.counts
        counts[ABOVE] = counts[ABOVE] + 1 if score >= 1.0 else 0
        if counts[ABOVE] < ONSET_ROWS:
            self._alarm_level.learn(score * self.level)
        else:
            self._alarm_level.alarmed(self.level)
            state.anchor[:] = level
            counts[[ACTIVE, ABOVE, REPORTED]] = 1, 0, 0
            self._recovery.begin(deviation)
            self._persistence.begin(deviation)
            return Phase.ONSET
        if np.isfinite(state.old).all():
            counts[CALM] += 1
            if counts[CALM] > self.calibration:
                state.level[:] = level
                state.old[:] = np.nan
        return None

    def _continue(
        self, deviation: FloatArray, wander: FloatArray, back: bool, lasts: bool
    ) -> tuple[Phase | None, bool]:
        """Process a row of an anomaly; return the phase that is due, and whether it ended as drift."""
        state, counts = self._state, self._state.counts
        ended = self._recovery.ended(deviation, wander, back, lasts)
        longest = self.drift_rows // (1 if lasts and self._stationary is not None else WANDERING_DRIFT)
        if ended and self._stationary is not None:
            # The levels are known: nothing has to settle, and the next fault may begin at once.
            counts[[ACTIVE, CALM]] = 0
            state.recent[: -base.SPANS[0]] = state.anchor
            return Phase.END, False
        if ended or self._recovery.lasted >= longest:
            counts[[ACTIVE, SETTLING, CALM]] = 0, SETTLE_ROWS, 0
            state.old[:], state.settled[:] = state.anchor, 0.0
            return Phase.END, not ended
        return self._update(), False

    def _update(self) -> Phase | None:
        """Count a row of an anomaly that continues; return the phase if a report is due."""
        counts = self._state.counts
        counts[REPORTED] += 1
        if counts[REPORTED] < self.update_rows:
            return None
        counts[REPORTED] = 0
        return Phase.UPDATE

    def _lasts(self, baseline: Baseline, means: FloatArray, roughest: float) -> bool:
        """Return whether the channels of an anomaly are still far from their levels."""
        levels = [level for level in (self._state.anchor, self._state.old) if np.isfinite(level).all()]
        away = max(distance_from(baseline, means, levels, self._persistence.counted(baseline)), roughest)
        if self._stationary is None:
            return away >= self.level
        return max(away, self._stationary.distance(self._state.recent, levels)) >= STATIONARY_END_LEVEL * self.level

    def _is_back(self, baseline: Baseline, means: FloatArray) -> bool:
        short = np.broadcast_to(means[0], means.shape)
        for level in (self._state.anchor, self._state.old):
            away = (short[0] - level) / baseline.spread[0]
            together = np.sqrt(max(float(away @ baseline.precision @ away), 0.0) / len(away)) / baseline.together[0]
            if max(float((np.abs(away) / baseline.alone[0]).max()), float(together)) < END_LEVEL * self.level:
                return True
        return False

    def _settle(self, baseline: Baseline, deviation: FloatArray, score: float) -> Phase | None:
        """Process a row after an anomaly: detect its return, and then set the levels."""
        state, counts = self._state, self._state.counts
        stayed = self._recovery.lasted >= self.drift_rows // WANDERING_DRIFT
        returned = not stayed and score >= 1.0 and self._recovery.has_returned(deviation, baseline.wander)
        counts[ABOVE] = counts[ABOVE] + 1 if returned else 0
        if counts[ABOVE] >= ONSET_ROWS:
            self._alarm_level.alarmed(self.level)
            self._recovery.resume()
            counts[[ACTIVE, ABOVE, SETTLING, REPORTED]] = 1, 0, 0, 0
            state.old[:] = np.nan
            return Phase.ONSET
        counts[SETTLING] -= 1
        state.settled += state.recent[-1] / SETTLE_ROWS
        if counts[SETTLING] == 0:
            moved = np.abs(state.settled - state.old) >= DEVIATED * baseline.spread[-1]
            state.level[:] = np.where(moved, state.settled, state.old)
            lasted = self._recovery.lasted if self._recovery.lasted >= LONG_ROWS else 0
            state.free[:] = np.where(moved, min(FOLLOWED * lasted, self.calibration), 0)
            # The anomaly's own rows leave the windows here.
            state.recent[:-SETTLE_ROWS] = state.level
        return None
