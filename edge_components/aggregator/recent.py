"""The readings that may come again: those of windows that are still open. Pure, columnar.

Brokers and sensors repeat what they are not sure was received (QoS 1 says "at least once"). A repetition for a window
that is closed is late and dropped as such; one for an open window is known here by series, time and value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.window_types import Arrays, BoolArray, exported, imported
from wire.model import FloatArray, IntArray

_KEPT = ("_place", "_time", "_value")
MAX_ROWS = 1_000_000
"""Beyond it the oldest are forgotten: 24 MB."""


class Recent:
    """What was taken of each series and is not closed yet, sorted by series, time and value."""

    def __init__(self) -> None:
        self._place, self._time = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._value = np.zeros(0)

    def __len__(self) -> int:
        return len(self._place)

    def take(self, place: IntArray, time_ms: IntArray, value: FloatArray) -> BoolArray:
        """Remember the rows and return which of them repeat one taken before, or an earlier one of these."""
        old = len(self._place)
        places = np.concatenate((self._place, place))
        times = np.concatenate((self._time, time_ms))
        values = np.concatenate((self._value, value))
        # Stable: of equal rows the one taken first stays first.
        order = np.lexsort((values, times, places))
        p, t, v = places[order], times[order], values[order]
        same = np.zeros(len(order), np.bool_)
        same[1:] = (p[1:] == p[:-1]) & (t[1:] == t[:-1]) & (v[1:] == v[:-1])
        repeated = np.zeros(len(order), np.bool_)
        repeated[order[same]] = True
        kept = ~same
        self._place, self._time, self._value = p[kept], t[kept], v[kept]
        if len(self._place) > MAX_ROWS:
            self._keep(np.argsort(self._time, kind="stable")[-MAX_ROWS:])
        return repeated[old:]

    def forget(self, closed_ms: IntArray) -> None:
        """Forget rows before each place's ``closed_ms``: they would be late if they came again."""
        self._keep(np.flatnonzero(self._time >= closed_ms[self._place]))

    def state(self) -> Arrays:
        """Return what a restart needs."""
        return exported("recent", self, _KEPT)

    def restore(self, arrays: Arrays) -> None:
        """Go on from :meth:`state`."""
        imported("recent", self, _KEPT, arrays)

    def _keep(self, rows: npt.NDArray[np.intp]) -> None:
        rows = np.sort(rows)
        self._place, self._time, self._value = self._place[rows], self._time[rows], self._value[rows]
