"""Event-time tumbling windows: [start, end), aligned to the epoch, each emitted once. Pure, columnar.

Every series has its own watermark: its newest event time less the allowed lateness. A window closes when the watermark
reaches its end, or, so that a series that fell silent does not hold it for ever, when the time since then would have
brought the watermark there and the idle timeout has passed too. Readings before what has been closed are late.

A series whose event times lie ahead of the gateway's clock is believed once it says so twice in a row, and never
touches another series; when it comes back to the present, it starts again there. docs/adr/0003 says why.
"""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.open_windows import OpenWindows
from edge_components.aggregator.series_clocks import SeriesClocks
from edge_components.aggregator.silence import Silence
from edge_components.aggregator.window_types import Arrays, BoolArray, Closed, WindowSettings
from wire.model import FloatArray, IntArray


class Windows:
    """All open windows of all series; a series is a *place* (a number from 0, below 2^15)."""

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._open = OpenWindows.empty()
        self._clocks = SeriesClocks()
        self._silence = Silence()

    def __len__(self) -> int:
        """How many windows are open."""
        return len(self._open.key)

    @property
    def readings(self) -> int:
        """How many readings are in the windows that are open."""
        return int(self._open.count.sum())

    def add(self, place: IntArray, time_ms: IntArray, value: FloatArray, now_ms: int, now: float) -> int:
        """Take readings (finite values, times from 0 to the year 9999) and return how many were late and dropped.

        ``now_ms`` is the gateway's wall clock, ``now`` seconds that only grow while readings can come.
        """
        if not len(place):
            return 0
        self._clocks.grow(int(place.max()) + 1)
        self._silence.grow(int(place.max()) + 1)
        late, returned = self._clocks.hear(place, time_ms, now_ms, now, self._settings)
        self._silence.forget(returned)
        fresh = ~late
        if fresh.all():
            self._open.add(place, time_ms, value, self._settings.width_ms)
        elif fresh.any():
            self._open.add(place[fresh], time_ms[fresh], value[fresh], self._settings.width_ms)
        return int(np.count_nonzero(late))

    def close(self, now: float) -> Closed:
        """Return the windows whose time has come, and forget them; ``now`` as in :meth:`add`."""
        settings = self._settings
        place, start = self._open.place, self._open.start(settings.width_ms)
        mark = self._clocks.mark(now, settings)
        closed = self._take(start + settings.width_ms <= mark[place])
        self._clocks.close(closed.place, closed.start_ms, settings)
        self._silence.speak(closed.place, closed.start_ms, settings.width_ms)
        if settings.gap_windows:
            place, start = self._open.place, self._open.start(settings.width_ms)
            begun = start <= mark[place] + settings.lateness_ms  # one that lies ahead says nothing of the present
            gaps = self._silence.gaps(mark, settings, place[begun])
            if len(gaps):
                return _merged(closed, gaps)
        return closed

    def finish(self) -> Closed:
        """Return all open windows, complete or not, and forget them. What comes for them later opens them again."""
        closed = self._take(np.ones(len(self._open.key), np.bool_))
        self._silence.speak(closed.place, closed.start_ms, self._settings.width_ms)
        return closed

    def reconfigure(self, settings: WindowSettings) -> Closed:
        """Go on under other settings; a change of width returns the open windows, for they end here."""
        closed = (
            self.finish() if settings.width_ms != self._settings.width_ms else self._take(np.zeros(len(self), bool))
        )
        self._settings = settings
        return closed

    @property
    def closed_ms(self) -> IntArray:
        """Before which time nothing is taken any more, int64 a place."""
        return self._clocks.closed

    def state(self) -> Arrays:
        """Return what a restart needs."""
        return self._open.state() | self._clocks.state() | self._silence.state()

    def restore(self, arrays: Arrays, now: float) -> None:
        """Go on from :meth:`state`, made under the same width; raises KeyError or ValueError where it is none."""
        self._open.restore(arrays)
        self._clocks.restore(arrays, now)
        self._silence.restore(arrays)

    def _take(self, done: BoolArray) -> Closed:
        width = self._settings.width_ms
        rows = self._open.take(done)
        std = np.sqrt(rows.m2 / np.maximum(rows.count, 1))
        mean = np.clip(rows.mean, rows.min, rows.max)  # rounding must not carry it outside
        return Closed(rows.place, rows.start(width), width, rows.count, mean, rows.min, rows.max, std)


def _merged(one: Closed, other: Closed) -> Closed:
    columns = {
        name: np.concatenate((getattr(one, name), getattr(other, name)))
        for name in ("place", "start_ms", "count", "mean", "min", "max", "std")
    }
    order = np.lexsort((columns["start_ms"], columns["place"]))
    return Closed(width_ms=one.width_ms, **{name: column[order] for name, column in columns.items()})
