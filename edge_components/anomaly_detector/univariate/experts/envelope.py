"""Envelope: the series has not been as high, or as low, for longer than usual, though its other end has not moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, IntArray, column, medians, push_columns
from edge_components.anomaly_detector.univariate.experts.base import CalibrationData, Expert, Observation
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tail_limit import BLOCKS, Tail, UsualLimit

STRETCHES = 30
"""Number of separate spans in a calibration: enough for its fourth greatest distance not to be that of one event."""
SHORTEST = 32
"""Minimum number of windows in a span."""
SPANS = 2
"""Maximum number of spans, each half of the one before."""
OVER_USUAL = 1.5
"""The limit, as a multiple of the greatest usual distance."""
SMALLEST_DISTANCE = 0.25
"""Smaller distances count as this, in scales."""
SIGNS = np.array([1.0, -1.0])
"""Signs with which the highest and the lowest value of a span are in the state."""


@dataclass(slots=True)
class EnvelopeState(Columns):
    """The ``last`` values [series, 2 x longest span]; the ``usual_end`` [series, 2 x spans], which is the median of the
    highest value within a span, and of the lowest one with its sign changed; the greatest distances from it in the last
    blocks (``greatest`` [series, 2 x spans, blocks], NaN for blocks not seen) and in the ``current`` one, its
    ``windows``, and the logarithm below which a distance is ``usual``, which is the limit."""

    last: FloatArray = column("experts.envelope.last", 0.0)
    usual_end: FloatArray = column("experts.envelope.usual_end", 0.0)
    greatest: FloatArray = column("experts.envelope.greatest", np.nan)
    current: FloatArray = column("experts.envelope.current", 0.0)
    windows: IntArray = column("experts.envelope.windows", 0, np.int64)
    usual: FloatArray = column("experts.envelope.usual", np.inf)


class Envelope(Expert[EnvelopeState]):
    """Distance of the highest (lowest) of the last windows below (above) its usual value, over a limit of its own.

    Detects what no single value and no mean shows: pulses that stop, a floor that rises between them, an oscillation
    that collapses. If both ends move in one direction, only what remains is a distance, so a level does not count.
    The limit follows from the distances within a span, and the distance within twice the span is compared with it:
    irregular pulses have long pauses in the calibration, too. The expected value is the usual end. Only after a
    calibration of at least STRETCHES x SHORTEST windows.
    """

    name, cause = "envelope", "range"
    statistics = ("top", "bottom")
    own_limit = True
    holds_anomaly = statistics

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        longest = settings.calibration // STRETCHES
        halved = [longest // 2**at for at in range(SPANS)]
        self._spans = [span for span in halved if span >= SHORTEST]
        self._limit = UsualLimit(Tail.of(settings.calibration), OVER_USUAL, SMALLEST_DISTANCE)

    def new_state(self, n: int) -> EnvelopeState:
        """Return the state of ``n`` new series."""
        ends, last = 2 * len(self._spans), 2 * max(self._spans, default=0)
        sizes = {"last": (last,), "greatest": (ends, BLOCKS)}
        return EnvelopeState.empty(n, sizes | dict.fromkeys(("usual_end", "current", "usual"), (ends,)))

    def update(self, state: EnvelopeState, window: Observation, statistic: FloatArray, expected: FloatArray) -> None:
        """Compare the distances within twice each span with the limits from those within the span."""
        if not self._spans:
            return
        push_columns(state.last, window.value)
        within = np.stack([_ends(state.last[:, -span:]) for span in self._spans], axis=1)
        twice = np.stack([_ends(state.last[:, -2 * span :]) for span in self._spans], axis=1)
        usual_end = state.usual_end.reshape(within.shape)
        limit = np.exp(-state.usual.reshape(within.shape))
        score = _distances(usual_end, twice) * limit
        statistic[:] = np.maximum(score.max(axis=1), 0.0)
        expected[:] = np.take_along_axis(usual_end, score.argmax(axis=1)[:, None], axis=1)[:, 0] * SIGNS
        self._limit.record(state, _distances(usual_end, within).reshape(state.current.shape))

    def finish(self, state: EnvelopeState, data: CalibrationData, statistics: FloatArray) -> None:
        """Fit the usual ends and the limits on the spans of the calibration."""
        if not self._spans:
            return
        state.last[:] = data.values[:, -state.last.shape[1] :]
        state.greatest[:] = np.nan
        for at, span in enumerate(self._spans):
            ends = _ends(np.lib.stride_tricks.sliding_window_view(data.values, span, axis=1))
            usual_end = np.stack([medians(ends[:, :, end]) for end in range(2)], axis=1)
            distances = _distances(usual_end[:, None], ends)
            blocks = self._limit.tail.split(distances.swapaxes(0, 1))
            own = slice(2 * at, 2 * at + 2)
            state.usual_end[:, own] = usual_end
            state.greatest[:, own, -len(blocks) :] = np.stack([block.max(axis=0) for block in blocks], axis=2)
        self._limit.begin(state)
        statistics[:] = 0.0

    def replace(self, state: EnvelopeState, rows: IntArray, window: Observation) -> None:
        """Replace the last value."""
        if self._spans:
            state.last[rows, -1] = window.replacement[rows]

    def recentre(self, state: EnvelopeState, rows: IntArray, shift: FloatArray, lasted: IntArray) -> None:
        """Subtract the shift from the values since the change."""
        size = state.last.shape[1]
        since = np.arange(size) >= size - lasted[:, None]
        state.last[rows] -= np.where(since, shift[:, None], 0.0)


def _ends(values: FloatArray) -> FloatArray:
    """Return the highest of ``values`` [..., span] and the negative of the lowest [..., 2]."""
    return np.stack((values.max(axis=-1), -values.min(axis=-1)), axis=-1)


def _distances(usual_end: FloatArray, end: FloatArray) -> FloatArray:
    """Return how far each end [..., 2] is inside of the usual one, less how far the other end is outside of its own."""
    inside = usual_end - end
    return np.asarray(inside - np.maximum(-inside[..., ::-1], 0.0), np.float64)
