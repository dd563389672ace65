"""Event-time tumbling windows: [start, end), aligned to the epoch, each emitted once. Pure, columnar.

Every series has its own watermark: its newest event time less the allowed lateness. A window closes when the watermark
reaches its end, or, for a series that stopped reporting, when the time since then would have brought the watermark
there and the idle timeout has passed too. Readings before the end of closed windows are late.

Event times ahead of the gateway's clock are accepted after two batches in a row, and never affect another series; a
series that returns to the present resumes there. docs/adr/0003 gives the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_components.aggregator.gap_detector import GapDetector
from edge_components.aggregator.open_windows import OpenWindows
from edge_components.aggregator.watermarks import WatermarkTracker
from edge_components.aggregator.window_types import Arrays, BoolArray, Closed, WindowSettings
from wire.model import FloatArray, IntArray


class Windows:
    """All open windows of all series; a series id is a number from 0, below 2^15."""

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._open = OpenWindows.empty()
        self._watermarks = WatermarkTracker()
        self._gaps = GapDetector()

    def __len__(self) -> int:
        """Number of open windows."""
        return len(self._open.key)

    @property
    def readings(self) -> int:
        """Number of readings in the open windows."""
        return int(self._open.count.sum())

    def add(self, series_id: IntArray, time_ms: IntArray, value: FloatArray, now_ms: int, now: float) -> int:
        """Add readings (finite values, times from 0 to the year 9999); return the number that were late and dropped.

        ``now_ms`` is the gateway's wall clock, ``now`` seconds that only grow while readings can come.
        """
        if not len(series_id):
            return 0
        self._grow(int(series_id.max()) + 1)
        late, returned = self._watermarks.observe(series_id, time_ms, now_ms, now, self._settings)
        self._gaps.reset(returned)
        fresh = ~late
        if fresh.all():
            self._open.add(series_id, time_ms, value, self._settings.width_ms)
        elif fresh.any():
            self._open.add(series_id[fresh], time_ms[fresh], value[fresh], self._settings.width_ms)
        return int(np.count_nonzero(late))

    def close(self, now: float) -> Closed:
        """Remove and return the windows that are complete; ``now`` as in :meth:`add`."""
        settings = self._settings
        series_id, start = self._open.series_id, self._open.start(settings.width_ms)
        mark = self._watermarks.watermark(now, settings)
        closed = self._take(start + settings.width_ms <= mark[series_id])
        self._watermarks.close(closed.series_id, closed.start_ms, settings)
        self._gaps.observe(closed.series_id, closed.start_ms, settings.width_ms)
        if settings.gap_windows:
            series_id, start = self._open.series_id, self._open.start(settings.width_ms)
            begun = (
                start <= mark[series_id] + settings.lateness_ms
            )  # one that is ahead is no sign of life in the present
            gaps = self._gaps.gaps(mark, settings, series_id[begun])
            if len(gaps):
                return _merged(closed, gaps)
        return closed

    def finish(self) -> Closed:
        """Remove and return all open windows, complete or not. Later readings for them open them again."""
        closed = self._take(np.ones(len(self._open.key), np.bool_))
        self._gaps.observe(closed.series_id, closed.start_ms, self._settings.width_ms)
        return closed

    def reconfigure(self, settings: WindowSettings) -> Closed:
        """Apply other settings; a change of width ends the open windows and returns them."""
        closed = (
            self.finish() if settings.width_ms != self._settings.width_ms else self._take(np.zeros(len(self), bool))
        )
        self._settings = settings
        return closed

    @property
    def closed_ms(self) -> IntArray:
        """Event time before which readings are late, int64 by series id."""
        return self._watermarks.closed

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return self._open.state() | self._watermarks.state() | self._gaps.state()

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state` of windows of the same width; raises KeyError or ValueError for other arrays."""
        self._open.restore(arrays)
        self._watermarks.restore(arrays)
        self._gaps.restore(arrays)

    def rebase(self, now: float) -> None:
        """Count every series as having reported at ``now``: a new process has a new idle clock."""
        self._watermarks.rebase(now)

    @property
    def busy(self) -> IntArray:
        """Ids of the series that have an open window."""
        return np.unique(self._open.series_id)

    def reset(self, series_id: int) -> None:
        """Forget a series, which has no open window: its id is used for another one."""
        if series_id < len(self._watermarks.closed):
            self._watermarks.reset(series_id)
            self._gaps.remove(series_id)

    def remove(self, windows: Sequence[tuple[int, int]]) -> None:
        """Drop windows by series id and start, whether they are open or not; they stay closed."""
        if not windows:
            return
        series_id, start_ms = np.array(sorted(windows), np.int64).T
        self._grow(int(series_id.max()) + 1)
        self._take(np.isin(self._open.key, OpenWindows.keys(series_id, start_ms, self._settings.width_ms)))
        self._watermarks.close(series_id, start_ms, self._settings)

    def discard(self) -> int:
        """Drop all open windows and return the number of readings in them; they stay closed."""
        dropped = self._take(np.ones(len(self), np.bool_))
        self._watermarks.close(dropped.series_id, dropped.start_ms, self._settings)
        return int(dropped.count.sum())

    def _grow(self, size: int) -> None:
        self._watermarks.grow(size)
        self._gaps.grow(size)

    def _take(self, done: BoolArray) -> Closed:
        width = self._settings.width_ms
        rows = self._open.take(done)
        std = np.sqrt(rows.m2 / np.maximum(rows.count, 1))
        mean = np.clip(rows.mean, rows.min, rows.max)  # rounding must not carry it outside
        return Closed(rows.series_id, rows.start(width), width, rows.count, mean, rows.min, rows.max, std)


def _merged(one: Closed, other: Closed) -> Closed:
    columns = {
        name: np.concatenate((getattr(one, name), getattr(other, name)))
        for name in ("series_id", "start_ms", "count", "mean", "min", "max", "std")
    }
    order = np.lexsort((columns["start_ms"], columns["series_id"]))
    return Closed(width_ms=one.width_ms, **{name: column[order] for name, column in columns.items()})
