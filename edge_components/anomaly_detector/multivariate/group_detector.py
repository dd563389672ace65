"""Joint detection over a group: series that are measured together, such as the channels of one machine.

Pure, one object a group, one row at a time. A group first collects ``calibration`` rows. From then on the moving means
of its channels are compared with their slow levels (:mod:`baseline`), and an anomaly begins when they stay away. The
distance at which it begins follows from the configured rate of false alarms (:mod:`alarm_level`). During an anomaly the
levels are frozen, and the fraction of the fault that remains is estimated (:mod:`recovery`). So an anomaly ends when
the deviation has gone, even if a slow channel, such as a temperature, has meanwhile moved permanently. The position of
such a channel becomes its new level, which is followed without a speed limit for a while; the old levels of all
channels remain valid too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray, push
from edge_components.anomaly_detector.multivariate import baseline as base
from edge_components.anomaly_detector.multivariate.alarm_level import Tail
from edge_components.anomaly_detector.multivariate.baseline import Baseline
from edge_components.anomaly_detector.multivariate.recovery import Course
from wire.model import Phase

GREATEST = 99.0
WILD_ROWS = 2
"""So many values in a row may be left out as wild; what is as far off for longer is where the channel is."""
ONSET_ROWS = 4
"""An anomaly begins when the score has stood at 1.0 for so many rows."""
END_LEVEL = 0.6
"""All are back where they were when the score of the shorter span is below this level."""
SETTLE_ROWS = 35
"""So long after an end it is only asked whether it comes again; then each level is where it was, or where it is now,"""
SAME = 1.5
"""if that is farther than so many spreads."""
FOLLOWED = 2
"""What an anomaly has moved is followed for so many times its rows, and no longer than the calibration was,"""
LONG_ROWS = 60
"""where it has lasted for so many: what is shorter heats nothing, and the next fault is not to be followed."""


@dataclass(slots=True)
class Finding:
    """What a row is: ``score`` (NaN while calibrating), whether it lies in an anomaly, each channel's ``share`` [c] in
    the score (0 to 1), what was ``expected`` and how far from it is the alarm level (``reach``) in the channels' own
    units [c], and the anomaly's ``phase`` where this row changes it (``drifted``: it ended because it stays)."""

    score: float
    anomaly: bool
    share: FloatArray
    expected: FloatArray
    reach: FloatArray
    phase: Phase | None = None
    drifted: bool = False

    @property
    def channel(self) -> int:
        """The channel that contributes most."""
        return int(self.share.argmax())


@dataclass(slots=True)
class State:
    """All that a group knows, in arrays, so that it survives a restart. Values are standardised but for ``rows``."""

    rows: FloatArray
    """The rows to calibrate on [calibration, c], in the channels' units."""
    recent: FloatArray
    last: FloatArray
    """The last three rows; the median of each three is what counts, since noise often has heavy tails."""
    wild: npt.NDArray[np.int64]
    """How many values in a row were left out of each channel because they were wild."""
    level: FloatArray
    old: FloatArray
    anchor: FloatArray
    settled: FloatArray
    free: FloatArray
    """For how many rows more each channel's level is followed."""
    counts: npt.NDArray[np.int64]
    """See the names below."""


KEPT, ACTIVE, ABOVE, SETTLING, CALM, REPORTED = range(6)


class Joint:
    """One group of ``channels`` series."""

    def __init__(self, channels: int, calibration: int, drift_rows: int, update_rows: int) -> None:
        self.calibration, self.drift_rows, self.update_rows = calibration, drift_rows, update_rows
        self.baseline: Baseline | None = None
        self.rows_between: float | None = None
        """How many rows are to be between false alarms; None for as many as there happen to be at the plain level."""
        self.level = 1.0
        """Scores are what was found over this level."""
        self._tail = Tail.empty(ONSET_ROWS)
        self._course = Course.empty(channels)
        nothing = np.full(channels, np.nan)
        self._state = State(
            rows=np.full((calibration, channels), np.nan),
            recent=np.zeros((base.HISTORY, channels)),
            last=np.zeros((3, channels)),
            wild=np.zeros(channels, np.int64),
            level=nothing.copy(),
            old=nothing.copy(),
            anchor=nothing.copy(),
            settled=np.zeros(channels),
            free=np.zeros(channels),
            counts=np.zeros(6, np.int64),
        )

    @property
    def seen(self) -> int:
        """How many rows there were."""
        return int(self._state.counts[KEPT])

    def step(self, row: FloatArray) -> Finding:
        """Take a row [c] in, NaN where a value is missing, and return what it is."""
        state, counts = self._state, self._state.counts
        counts[KEPT] += 1
        if self.baseline is None:
            state.rows[counts[KEPT] - 1] = row
            if counts[KEPT] >= self.calibration:
                self._fit()
            nothing = np.full(len(row), np.nan)
            return Finding(np.nan, False, np.zeros(len(row)), nothing, nothing)
        self._push(self.baseline, row)
        self.level = 1.0 if self.rows_between is None else self._tail.level(self.rows_between)
        return self._judge(self.baseline)

    def history(self, channel: int, rows: int) -> FloatArray:
        """Return what a calibrated channel's last rows were, wild values left out, in its unit."""
        assert self.baseline is not None  # noqa: S101 # only what is fitted has anything to tell
        last = self._state.recent[-rows:, channel]
        return np.asarray(self.baseline.centre[channel] + last * self.baseline.scale[channel], np.float64)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that must survive a restart, by name."""
        kept = {f"state.{f.name}": getattr(self._state, f.name) for f in dataclasses.fields(State)}
        kept |= {f"tail.{f.name}": getattr(self._tail, f.name) for f in dataclasses.fields(Tail)}
        kept |= {f"course.{f.name}": getattr(self._course, f.name) for f in dataclasses.fields(Course)}
        if self.baseline is not None:
            kept |= {f"baseline.{f.name}": getattr(self.baseline, f.name) for f in dataclasses.fields(Baseline)}
        return kept

    def restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take back what :meth:`state` gave; raises ValueError where it is of another layout."""
        for name, mine in self.state().items():
            kept = arrays.get(name)
            if kept is None or kept.shape != mine.shape or kept.dtype != mine.dtype:
                raise ValueError(f"{name}: not as this version keeps it")
        fitted = {f.name: arrays.get(f"baseline.{f.name}") for f in dataclasses.fields(Baseline)}
        found = {name: array.copy() for name, array in fitted.items() if array is not None}
        if found and len(found) < len(fitted):
            raise ValueError("baseline: not as this version keeps it")
        self.baseline = Baseline(**found) if found else None
        self._state = State(**{f.name: arrays[f"state.{f.name}"].copy() for f in dataclasses.fields(State)})
        self._tail = Tail(**{f.name: arrays[f"tail.{f.name}"].copy() for f in dataclasses.fields(Tail)})
        self._course = Course(**{f.name: arrays[f"course.{f.name}"].copy() for f in dataclasses.fields(Course)})

    def _fit(self) -> None:
        state = self._state
        self.baseline, usual = base.fit(state.rows)
        self._tail.fit(usual)
        values = self.baseline.standard(base.filled(state.rows))
        state.last[:] = values[-3:]
        values = base.middle_of_three(values)
        state.recent[:] = values[-base.HISTORY :]
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
        wild = far & (state.wild < WILD_ROWS)
        state.wild[:] = np.where(wild, state.wild + 1, np.where(far, state.wild, 0))
        push(state.last, baseline.likely(value, ~missing & ~wild, mean))
        push(state.recent, np.median(state.last, axis=0))

    def _judge(self, baseline: Baseline) -> Finding:
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
            phase, drifted = self._go_on(baseline.look(means, state.anchor, rough), baseline.wander, back)
        elif counts[SETTLING]:
            phase = self._settle(baseline, baseline.look(means, state.anchor, rough), score)
        else:
            phase = self._watch(baseline.look(means, level, rough), level, score)
        expected = baseline.centre + level * baseline.scale
        reach = (baseline.alone * baseline.spread).min(axis=0) * baseline.scale * self.level
        return Finding(
            score, bool(counts[ACTIVE]), share / max(float(share.sum()), 1e-12), expected, reach, phase, drifted
        )

    def _nearest(self, baseline: Baseline, means: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Return the nearest of the levels that count as usual, and how far the means are from it."""
        state = self._state
        usual = state.anchor if state.counts[ACTIVE] else state.level
        followed = (state.free > 0) & (state.counts[ACTIVE] == 0)
        levels = [usual]
        if np.isfinite(state.old).all():
            levels.append(np.where(followed, usual, state.old))
        found = [(level, *baseline.departures(means, level, ~followed)) for level in levels]
        return min(found, key=lambda one: max(float(one[1].max()), one[2]))

    def _watch(self, look: FloatArray, level: FloatArray, score: float) -> Phase | None:
        """Outside of an anomaly: see whether one begins."""
        state, counts = self._state, self._state.counts
        counts[ABOVE] = counts[ABOVE] + 1 if score >= 1.0 else 0
        if counts[ABOVE] < ONSET_ROWS:
            self._tail.learn(score * self.level)
        else:
            self._tail.alarmed(self.level)
            state.anchor[:] = level
            counts[[ACTIVE, ABOVE, REPORTED]] = 1, 0, 0
            self._course.begin(look)
            return Phase.ONSET
        if np.isfinite(state.old).all():
            counts[CALM] += 1
            if counts[CALM] > self.calibration:
                state.level[:] = level
                state.old[:] = np.nan
        return None

    def _go_on(self, look: FloatArray, wander: FloatArray, back: bool) -> tuple[Phase | None, bool]:
        """In an anomaly: see whether it is over."""
        state, counts = self._state, self._state.counts
        counts[REPORTED] += 1
        over = self._course.over(look, wander, back)
        if over or self._course.lasted >= self.drift_rows:
            counts[[ACTIVE, SETTLING, CALM]] = 0, SETTLE_ROWS, 0
            state.old[:], state.settled[:] = state.anchor, 0.0
            return Phase.END, not over
        if counts[REPORTED] >= self.update_rows:
            counts[REPORTED] = 0
            return Phase.UPDATE, False
        return None, False

    def _is_back(self, baseline: Baseline, means: FloatArray) -> bool:
        short = np.broadcast_to(means[0], means.shape)
        for level in (self._state.anchor, self._state.old):
            away = (short[0] - level) / baseline.spread[0]
            together = np.sqrt(max(float(away @ baseline.precision @ away), 0.0) / len(away)) / baseline.together[0]
            if max(float((np.abs(away) / baseline.alone[0]).max()), float(together)) < END_LEVEL * self.level:
                return True
        return False

    def _settle(self, baseline: Baseline, look: FloatArray, score: float) -> Phase | None:
        """After an anomaly: see whether it goes on after all, and where the channels are now."""
        state, counts = self._state, self._state.counts
        stayed = self._course.lasted >= self.drift_rows
        again = not stayed and score >= 1.0 and self._course.again(look, baseline.wander)
        counts[ABOVE] = counts[ABOVE] + 1 if again else 0
        if counts[ABOVE] >= ONSET_ROWS:
            self._tail.alarmed(self.level)
            self._course.go_on()
            counts[[ACTIVE, ABOVE, SETTLING, REPORTED]] = 1, 0, 0, 0
            state.old[:] = np.nan
            return Phase.ONSET
        counts[SETTLING] -= 1
        state.settled += state.recent[-1] / SETTLE_ROWS
        if counts[SETTLING] == 0:
            moved = np.abs(state.settled - state.old) >= SAME * baseline.spread[-1]
            state.level[:] = np.where(moved, state.settled, state.old)
            lasted = self._course.lasted if self._course.lasted >= LONG_ROWS else 0
            state.free[:] = np.where(moved, min(FOLLOWED * lasted, self.calibration), 0)
            # The anomaly's own rows are out of the windows from here on.
            state.recent[:-SETTLE_ROWS] = state.level
        return None
