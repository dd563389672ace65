"""Discord: the shape of the last windows differs from all shapes before, which a level or a single value need not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import Columns, FloatArray, IntArray, column, push_columns
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation
from edge_components.anomaly_detector.univariate.forecaster import CLIP
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tail_limit import BLOCKS, Tail, UsualLimit, first_blocks

LONGEST = 48
"""Maximum number of windows in a shape."""
OVER_USUAL = 1.5
"""The limit, as a multiple of the greatest usual distance."""
SMALLEST_DISTANCE = 1e-3
"""Smaller distances count as this, in scales."""

Changes = npt.NDArray[np.float32]


@dataclass(slots=True)
class DiscordState(Columns):
    """The last ``changes`` from window to window [series, calibration], the ``squares`` of the distances of the present
    shape to those before, by falling lag (NaN where they must be computed again; not saved), the greatest distances of
    the last blocks (``greatest`` [series, blocks], NaN for blocks not seen) and of the ``current`` one, its
    ``windows``, and the logarithm below which a distance is ``usual``, which is the limit."""

    changes: Changes = column("experts.discord.changes", 0.0, np.float32)
    squares: FloatArray = column("", np.nan)
    greatest: FloatArray = column("experts.discord.greatest", np.nan)
    current: FloatArray = column("experts.discord.current", 0.0)
    windows: IntArray = column("experts.discord.windows", 0, np.int64)
    usual: FloatArray = column("experts.discord.usual", 0.0)


class Discord(Expert[DiscordState]):
    """Distance of the last windows to the nearest shape of a calibration before, over a limit of its own.

    A shape is the changes from window to window, so its level does not count. Distances to all earlier shapes that do
    not overlap it are updated with each window (left matrix profile). An outlier is not part of a shape, only its
    replacement is. Only after a long calibration.
    """

    name, cause = "discord", "shape"
    statistics = ("discord",)
    own_limit = True
    holds_anomaly = statistics

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._length = min(settings.lags, LONGEST) if settings.is_long else 0
        self._lags = max(0, settings.calibration - 2 * self._length + 1) if self._length else 0
        self._buffer = np.empty((0, 0), np.float32)
        tail = Tail.of(settings.calibration - 2 * self._length)
        self._limit = UsualLimit(tail, OVER_USUAL, SMALLEST_DISTANCE)

    def new_state(self, n: int) -> DiscordState:
        """Return the state of ``n`` new series."""
        changes = self.settings.calibration if self._length else 0
        return DiscordState.empty(n, {"changes": (changes,), "squares": (self._lags,), "greatest": (BLOCKS,)})

    def update(self, state: DiscordState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the distance to the nearest earlier shape with the limit; the calibration's shapes are compared when
        it is complete."""
        if not self._length:
            return
        change = self._change(window.value - window.previous)
        if int(window.age.min()) <= self.settings.calibration:
            push_columns(state.changes, change)
            return
        self._advance(state, change)
        distance = np.sqrt(np.maximum(state.squares.min(axis=1), 0.0) / self._length)
        statistic[:, 0] = distance * np.exp(-state.usual)
        self._limit.record(state, distance)

    def finish(self, state: DiscordState, data: CalibrationData, statistics: FloatArray) -> None:
        """Fit the limit on the distances of the calibration's shapes to the nearest one before or after them.

        A shape at the beginning has few others before it, so its distance to those alone is too large.
        """
        if not self._length:
            return
        for row, distances in enumerate(nearest_distances(state.changes[:, 1:], self._length)):
            state.greatest[row] = first_blocks(self._limit.tail.split(distances))
        self._limit.begin(state)

    def replace(self, state: DiscordState, rows: IntArray, window: Observation) -> None:
        """Replace the last change."""
        if not self._length:
            return
        change = self._change(window.replacement[rows] - window.previous[rows])
        changes, earlier = state.changes[rows], self._earlier(state.changes[rows])
        state.squares[rows] += np.square(change[:, None] - earlier)
        state.squares[rows] -= np.square(changes[:, -1:] - earlier)
        state.changes[rows, -1] = change

    def _change(self, difference: FloatArray) -> Changes:
        return np.clip(difference, -CLIP, CLIP).astype(np.float32)

    def _earlier(self, changes: Changes, back: int = 0) -> Changes:
        """Return the changes that correspond to that ``back`` windows ago in the earlier shapes, by falling lag."""
        end = changes.shape[1] - self._length - back
        return changes[:, end - self._lags : end]

    def _advance(self, state: DiscordState, change: Changes) -> None:
        """Append a change, and update the squared distances of the present shape."""
        unknown = np.flatnonzero(np.isnan(state.squares[:, 0]))
        if len(unknown):
            state.squares[unknown] = self._computed(state.changes[unknown])
        # A difference and its square are the same float32 when they are added and when they are subtracted again.
        oldest = state.changes[:, -self._length, None]
        state.squares -= self._squared(oldest, self._earlier(state.changes, self._length - 1))
        push_columns(state.changes, change)
        state.squares += self._squared(change[:, None], self._earlier(state.changes))

    def _squared(self, one: Changes, others: Changes) -> Changes:
        """Return the squared differences in an array that the next call overwrites, which saves its allocation."""
        if self._buffer.shape != others.shape:
            self._buffer = np.empty(others.shape, np.float32)
        np.subtract(one, others, out=self._buffer)
        return np.multiply(self._buffer, self._buffer, out=self._buffer)

    def _computed(self, changes: Changes) -> FloatArray:
        """Return the squared distances of the present shape, by falling lag."""
        found = np.zeros((len(changes), self._lags))
        for back in range(self._length):
            at = changes.shape[1] - 1 - back
            found += np.square(changes[:, at, None] - self._earlier(changes, back))
        return found


def nearest_distances(changes: Changes, length: int) -> FloatArray:
    """Return the distance [n, shapes] of each shape of ``length`` changes to the nearest one in ``changes`` [n, c] that
    does not overlap it (matrix profile, Yeh et al. 2016)."""
    n, size = changes.shape
    shapes = size - length + 1
    least, sums = np.full((n, shapes), np.inf), np.zeros((n, size + 1))
    for lag in range(length, shapes):
        end = size - lag
        np.cumsum(np.square(changes[:, lag:] - changes[:, :end]), axis=1, out=sums[:, 1 : end + 1])
        squares = sums[:, length : end + 1] - sums[:, : end + 1 - length]
        for part in (least[:, : shapes - lag], least[:, lag:]):
            np.minimum(part, squares, out=part)
    return np.asarray(np.sqrt(np.maximum(least, 0.0) / length), np.float64)
