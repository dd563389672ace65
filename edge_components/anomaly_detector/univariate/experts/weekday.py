"""Weekday: distance from the same time a week ago."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import (
    Columns,
    FloatArray,
    IntArray,
    column,
    medians,
    push_columns,
    rolling_means,
)
from edge_components.anomaly_detector.univariate.experts import season
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation
from edge_components.anomaly_detector.univariate.settings import Settings

SPAN = 24
"""Windows over which distances are averaged."""


@dataclass(slots=True)
class WeekdayState(Columns):
    """The last distances [series, SPAN], the changes from a week ago over the last day [series, season], the values by
    time slot in a ring, and the newest slot."""

    distances: FloatArray = column("experts.weekday.distances", np.nan)
    changes: FloatArray = column("experts.weekday.changes", np.nan)
    ring: FloatArray = column("experts.weekday.ring", np.nan)
    last: IntArray = column("experts.weekday.last", -1, np.int64)


class Weekday(Expert[WeekdayState]):
    """Mean distance of the last windows from the same time a week ago, with or without the median change over a day.

    The nearest of the last days, with which :class:`~.season.Season` compares, is a Sunday for a holiday; the same
    weekday is not. With the change a new level is usual after half a day; without it, the first day whose weekday was
    at the new level already. Only after a calibration of two weeks.
    """

    name, cause = "weekday", "season"
    statistics = ("weekday",)
    floors = (0.25,)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._week = season.DAYS * settings.season
        self._used = 0 < 2 * self._week <= settings.calibration

    def new_state(self, n: int) -> WeekdayState:
        """Return the state of ``n`` new series."""
        sizes = {"distances": SPAN, "changes": self.settings.season, "ring": self._week + 2}
        return WeekdayState.empty(n, {name: (size * self._used,) for name, size in sizes.items()})

    def update(self, state: WeekdayState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the window with a week ago and store it."""
        if not self._used:
            return
        slot = window.windows.slot.astype(np.int64)
        before = season.values_back(state.ring, slot, self._week + season.NEAR)
        change = _medians(state.changes)
        push_columns(state.distances, _distance(before, change, window.value))
        push_columns(state.changes, window.value - before[:, 1])
        season.put(state.ring, state.last, slot, window.value)
        expected[:, 0] = before[:, 1] + change
        statistic[:, 0] = state.distances.mean(axis=1)

    def finish(self, state: WeekdayState, data: CalibrationData, statistics: FloatArray) -> None:
        """Compare the first week of the calibration with the second."""
        if not self._used:
            return
        for row, (values, slots) in enumerate(zip(data.values, data.slots, strict=True)):
            before, after = (
                np.array([season.values_after(values, slots, week + near) for near in season.NEAR]).T
                for week in (-self._week, self._week)
            )
            others = np.where((slots - slots[0] >= self._week)[:, None], before, after)
            changes = np.concatenate((np.full(self.settings.season, np.nan), values - others[:, 1]))
            change = _medians(np.lib.stride_tricks.sliding_window_view(changes, self.settings.season)[:-1])
            statistics[:, row, 0] = _distance(others, change, values)
        statistics[:, :, 0] = rolling_means(statistics[:, :, 0].T, SPAN).T

    def replace(self, state: WeekdayState, rows: IntArray, window: Observation) -> None:
        """Store the replacement in the place of the value, and repeat the distance and change before."""
        if self._used:
            state.ring[rows, state.last[rows] % state.ring.shape[1]] = window.replacement[rows]
            state.distances[rows, -1], state.changes[rows, -1] = state.distances[rows, -2], state.changes[rows, -2]

    def recentre(self, state: WeekdayState, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
        """Subtract the shift from the values since the change, and from the changes over a day."""
        if not self._used:
            return
        season.subtract_since(state.ring, state.last, rows, shift, lasted)
        for row, by, windows in zip(rows.tolist(), shift.tolist(), lasted.tolist(), strict=True):
            state.changes[row, -min(windows, state.changes.shape[1]) :] -= by


def _distance(others: FloatArray, change: FloatArray, value: FloatArray) -> FloatArray:
    """Return the distances of values [n] from the nearest of ``others`` [n, k], with or without the ``change`` [n]."""
    both = np.hstack((others, others + change[:, None]))
    return season.least(np.abs(both - value[:, None]))


def _medians(values: FloatArray) -> FloatArray:
    """Return the medians [n] of rows without unknown values, 0 for the others."""
    known = np.isfinite(values).all(axis=1)
    return np.where(known, medians(np.where(known[:, None], values, 0.0)), 0.0)
