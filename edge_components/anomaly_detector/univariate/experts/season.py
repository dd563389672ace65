"""Season: distance from the same time on previous days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, IntArray, column, push_columns, rolling_means
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation
from edge_components.anomaly_detector.univariate.settings import Settings

DAYS = 7
SPAN = 24
"""Windows over which distances are averaged."""
NEAR = np.array([-1, 0, 1])
"""Slots that count as the same time of day."""


@dataclass(slots=True)
class SeasonState(Columns):
    """The last distances [series, SPAN], the values by time slot in a ring, and the newest slot."""

    distances: FloatArray = column("experts.season_errors", np.nan)
    ring: FloatArray = column("experts.season_ring", np.nan)
    last: IntArray = column("experts.season_last", -1, np.int64)


class Season(Expert[SeasonState]):
    """Distance from the nearest value of the last ``DAYS`` days, and the mean of the last distances.

    Values are stored by time slot, so missing windows shift nothing. Neighbouring slots count too, so a day that is
    similar to any previous one is normal. In a calibration of more than ``DAYS`` days, days after a window count where
    fewer than ``DAYS`` are before it: the first Saturday is not compared with a Friday only. Disabled if ``season`` is
    0.
    """

    name = cause = "season"
    statistics = ("season", "seasons")
    floors = (0.5, 0.25)
    holds_anomaly = ("season",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._all_days = 0 < (DAYS + 1) * settings.season <= settings.calibration

    def new_state(self, n: int) -> SeasonState:
        """Return the state of ``n`` new series."""
        season = self.settings.season
        return SeasonState.empty(n, {"distances": (SPAN,), "ring": (DAYS * season + 2 if season else 0,)})

    def update(self, state: SeasonState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the window with previous days and store it."""
        if not self.settings.season:
            return
        slot = window.windows.slot.astype(np.int64)
        distance, nearest = distances(state.ring, slot, window.value, self.settings.season)
        expected[:, 0] = expected[:, 1] = nearest
        put(state.ring, state.last, slot, window.value)
        push_columns(state.distances, distance)
        statistic[:, 0] = distance
        statistic[:, 1] = state.distances.mean(axis=1)

    def finish(self, state: SeasonState, data: CalibrationData, statistics: FloatArray) -> None:
        """Use the distances from days before and after for the calibration."""
        if not self._all_days:
            return
        for row, (values, slots) in enumerate(zip(data.values, data.slots, strict=True)):
            others = _other_days(values, slots, self.settings.season)
            statistics[:, row, 0] = least(np.abs(others - values[:, None]))
        statistics[:, :, 1] = rolling_means(statistics[:, :, 0].T, SPAN).T

    def recent_mean(self, state: SeasonState, history: FloatArray, windows: int) -> FloatArray:
        """Return the mean of the last few distances."""
        return np.asarray(state.distances[:, -windows:].mean(axis=1), np.float64)

    def replace(self, state: SeasonState, rows: IntArray, window: Observation) -> None:
        """Store the replacement in the place of the value, and repeat the distance before."""
        if self.settings.season:
            state.ring[rows, state.last[rows] % state.ring.shape[1]] = window.replacement[rows]
            state.distances[rows, -1] = state.distances[rows, -2]

    def recentre(self, state: SeasonState, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
        """Subtract the shift from the values since the change."""
        subtract_since(state.ring, state.last, rows, shift, lasted)


def put(ring: FloatArray, last: IntArray, slot: IntArray, value: FloatArray) -> None:
    """Write values [n] at their slots into the ring [n, size], and clear the slots skipped since ``last`` [n]."""
    size = ring.shape[1]
    for row in np.flatnonzero(slot - last > 1):
        skipped = np.arange(max(last[row] + 1, slot[row] - size), slot[row])
        ring[row, skipped % size] = np.nan
    ring[np.arange(len(ring)), slot % size] = value
    last[:] = slot


def subtract_since(ring: FloatArray, last: IntArray, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
    """Subtract ``shift`` from the values of the last windows (``lasted``) in the rings of some series [rows]."""
    size = ring.shape[1]
    for row, by, windows in zip(rows.tolist(), shift.tolist(), lasted.tolist(), strict=True):
        if size:
            ring[row, (last[row] - np.arange(min(windows, size))) % size] -= by


_BACK = np.arange(1, DAYS + 1)[:, None]


def distances(ring: FloatArray, slot: IntArray, value: FloatArray, season: int) -> tuple[FloatArray, FloatArray]:
    """Return the distances of values [n] to the nearest at the same time on a previous day, and these values; NaN
    where none is known."""
    previous = values_back(ring, slot, (_BACK * season + NEAR).ravel())
    distance = np.abs(previous - value[:, None])
    distance = np.where(np.isfinite(distance), distance, np.inf)
    nearest = distance.argmin(axis=1)
    each = np.arange(len(ring))
    least = distance[each, nearest]
    known = np.isfinite(least)
    return np.where(known, least, np.nan), np.where(known, previous[each, nearest], np.nan)


def values_back(ring: FloatArray, slot: IntArray, back: IntArray) -> FloatArray:
    """Return the values [n, back] of a ring that are ``back`` slots before ``slot`` [n]."""
    return np.asarray(ring[np.arange(len(ring))[:, None], (slot[:, None] - back) % ring.shape[1]], np.float64)


def values_after(values: FloatArray, slots: FloatArray, offset: int) -> FloatArray:
    """Return the value [windows] that is ``offset`` slots after each of ``slots``, which increase; NaN where it is not
    known."""
    at = np.minimum(np.searchsorted(slots, slots + offset), len(slots) - 1)
    return np.where(slots[at] == slots + offset, values[at], np.nan)


def least(distance: FloatArray) -> FloatArray:
    """Return the smallest known distance [n] of each row, NaN where none is known."""
    found = np.where(np.isfinite(distance), distance, np.inf).min(axis=1)
    return np.where(np.isfinite(found), found, np.nan)


def _other_days(values: FloatArray, slots: FloatArray, season: int) -> FloatArray:
    """Return the values [windows, days] at the same time on the nearest ``DAYS`` other days of a calibration, days
    before a window first; NaN where it is not known."""
    days_before = np.minimum((slots - slots[0]) // season, DAYS)
    found = []
    for days in range(1, DAYS + 1):
        for near in NEAR:
            found.append(values_after(values, slots, -days * season + near))
            later = values_after(values, slots, days * season + near)
            found.append(np.where(days + days_before <= DAYS, later, np.nan))
    return np.array(found).T
