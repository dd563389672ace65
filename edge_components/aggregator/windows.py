"""Event-time tumbling windows: [start, end), aligned to the epoch, each emitted once as a live row. Pure, columnar.

Every series has its own watermark: its newest event time less the allowed lateness. A window closes when the watermark
reaches its end, or, for a series that stopped reporting, when the time since then would have brought the watermark
there and the idle timeout has passed too. Readings before the end of closed windows are late: they open or correct
windows of the backlog (backlog.py), which are emitted as revisions.

Event times ahead of the gateway's clock are accepted after two batches in a row, and never affect another series; a
series that returns to the present resumes there. docs/adr/0003 gives the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_components.aggregator.backlog import Backlog
from edge_components.aggregator.cleaning import Grade
from edge_components.aggregator.gap_detector import GapDetector
from edge_components.aggregator.open_windows import OpenWindows
from edge_components.aggregator.watermarks import WatermarkTracker
from edge_components.aggregator.window_types import Arrays, BoolArray, Closed, WindowSettings
from edge_components.common.wall_clock import is_set
from wire.model import ByteArray, FloatArray, IntArray


class Windows:
    """All open windows of all series; a series id is a number from 0, below 2^15."""

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._open = OpenWindows.empty()
        self._watermarks = WatermarkTracker()
        self._gaps = GapDetector()
        self._backlog = Backlog(settings, lambda: self._gaps.spacing)
        self.late_accepted = 0
        """Number of late readings accepted by this object."""

    def __len__(self) -> int:
        """Number of open windows."""
        return len(self._open.key)

    @property
    def readings(self) -> int:
        """Number of readings in the open windows that are not in an emitted row yet."""
        return int(self._open.count.sum()) + self._backlog.readings

    def add(
        self,
        series_id: IntArray,
        time_ms: IntArray,
        value: FloatArray,
        now_ms: int,
        now: float,
        tag: int = 0,
        quality: ByteArray | None = None,
    ) -> int:
        """Add readings (finite values, times from 0 to the year 9999); return the number that were late and dropped.

        ``now_ms`` is the gateway's wall clock, ``now`` seconds that only grow while readings can come, ``tag`` the
        number of the deduplicator's next clean-up. ``quality`` has the codes of :class:`Grade`; readings that are not
        used are counted in no number that is returned.
        """
        if not len(series_id):
            return 0
        self._grow(int(series_id.max()) + 1)
        late, returned = self._watermarks.observe(series_id, time_ms, now_ms, now, self._settings)
        self._gaps.reset(returned)
        fresh = ~late
        if fresh.all():
            self._open.add(series_id, time_ms, value, self._settings.width_ms, quality)
        elif fresh.any():
            fresh_quality = None if quality is None else quality[fresh]
            self._open.add(series_id[fresh], time_ms[fresh], value[fresh], self._settings.width_ms, fresh_quality)
        if not late.any():
            return 0
        used = np.ones(np.count_nonzero(late), np.bool_) if quality is None else quality[late] != Grade.UNUSABLE
        if not self._settings.backlog_ms:
            return int(np.count_nonzero(used))
        accepted = self._backlog.add(
            series_id[late],
            time_ms[late],
            value[late],
            closed_ms=self._watermarks.closed,
            present_ms=now_ms + self._settings.tolerance_ms if is_set(now_ms) else None,
            idle_ms=round(now * 1000),
            tag=tag,
            quality=None if quality is None else quality[late],
        )
        self.late_accepted += int(np.count_nonzero(accepted & used))
        return int(np.count_nonzero(~accepted & used))

    def close_late(self, now: float) -> tuple[Closed, int]:
        """Remove and return the late windows that are complete, and the number of readings that are new in them."""
        rows = self._backlog.close(round(now * 1000))
        return self._rows(rows, rows.revision), int(rows.added.sum())

    def no_late(self) -> tuple[Closed, int]:
        """Return no late windows."""
        return self._rows(OpenWindows.empty(), np.zeros(0, np.int64)), 0

    def finish_late(self) -> tuple[Closed, int]:
        """Remove and return all late windows as :meth:`close_late` does, complete or not."""
        rows = self._backlog.finish()
        return self._rows(rows, rows.revision), int(rows.added.sum())

    def forget(self, tag: int) -> None:
        """Discard closed windows whose readings the deduplicator no longer knows: of this tag and older ones."""
        self._backlog.forget(tag)

    def close(self, now: float, tag: int = 0) -> Closed:
        """Remove and return the windows that are complete; ``now`` and ``tag`` as in :meth:`add`."""
        settings = self._settings
        series_id, start = self._open.series_id, self._open.start(settings.width_ms)
        mark = self._watermarks.watermark(now, settings)
        closed = self._take(start + settings.width_ms <= mark[series_id], tag)
        self._watermarks.close(closed.series_id, closed.start_ms, settings)
        self._gaps.observe(closed.series_id, closed.start_ms, settings.width_ms)
        if settings.gap_windows:
            series_id, start = self._open.series_id, self._open.start(settings.width_ms)
            begun = start <= mark[series_id] + settings.lateness_ms  # windows ahead of the present are ignored
            gaps = self._gaps.gaps(mark, settings, series_id[begun])
            if len(gaps):
                return _merged(closed, gaps)
        return closed

    def finish(self) -> Closed:
        """Remove and return all open windows, complete or not. Later readings for them open them again."""
        closed = self._take(np.ones(len(self._open.key), np.bool_), 0)
        self._gaps.observe(closed.series_id, closed.start_ms, self._settings.width_ms)
        return closed

    def reconfigure(self, settings: WindowSettings) -> Closed:
        """Apply other settings; a change of width ends the open windows and returns them.

        Call :meth:`finish_late` before a change of width.
        """
        ends = settings.width_ms != self._settings.width_ms
        closed = self.finish() if ends else self._take(np.zeros(len(self), bool), 0)
        self._backlog.reconfigure(settings)
        begins = settings.backlog_ms and not self._settings.backlog_ms
        self._settings = settings
        if begins:
            self.cover_emitted()
        return closed

    def cover_emitted(self, now_ms: int = 0) -> None:
        """Reject late readings in ranges that may have been emitted: closed windows, and all before ``now_ms``."""
        closed = self._watermarks.closed
        newest = int(closed.max()) if len(closed) else 0
        self._backlog.cover_all(np.maximum(closed, now_ms), max(newest, now_ms, 0))

    @property
    def closed_ms(self) -> IntArray:
        """Event time before which readings are late, int64 by series id."""
        return self._watermarks.closed

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return self._open.state() | self._watermarks.state() | self._gaps.state() | self._backlog.state()

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state` of windows of the same width; raises KeyError or ValueError for other arrays."""
        self._open.restore(arrays)
        self._watermarks.restore(arrays)
        self._gaps.restore(arrays)
        if Backlog.stored_in(arrays):
            self._backlog.restore(arrays)
        else:
            self.cover_emitted()

    def rebase(self, now: float) -> None:
        """Set the last activity of every series to ``now``, because a new process has a new idle clock."""
        self._watermarks.rebase(now)
        self._backlog.rebase()

    @property
    def busy(self) -> IntArray:
        """Ids of the series that have an open window."""
        return np.unique(np.concatenate((self._open.series_id, self._backlog.busy)))

    def reset(self, series_id: int) -> None:
        """Remove a series without open windows, because its id is reused."""
        if series_id < len(self._watermarks.closed):
            self._backlog.reset(series_id, int(self._watermarks.closed[series_id]))
            self._watermarks.reset(series_id)
            self._gaps.remove(series_id)

    def remove(self, windows: Sequence[tuple[int, int]]) -> None:
        """Drop windows by series id and start, whether they are open or not; they stay closed."""
        if not windows:
            return
        series_id, start_ms = np.array(sorted(windows), np.int64).T
        self._grow(int(series_id.max()) + 1)
        self._open.take(np.isin(self._open.key, OpenWindows.keys(series_id, start_ms, self._settings.width_ms)))
        self._watermarks.close(series_id, start_ms, self._settings)
        self._backlog.remove(series_id, start_ms)

    def remove_late(self, windows: Sequence[tuple[int, int]]) -> None:
        """Drop late windows by series id and start; no further reading is accepted for them."""
        if windows:
            self._backlog.remove(*np.array(sorted(windows), np.int64).T)

    def discard(self) -> int:
        """Drop all open windows and return the number of readings in them; they stay closed."""
        dropped = self._open.take(np.ones(len(self), np.bool_))
        self._watermarks.close(dropped.series_id, dropped.start(self._settings.width_ms), self._settings)
        late = self._backlog.discard()
        self.cover_emitted()
        return int(dropped.count.sum()) + late

    def _grow(self, size: int) -> None:
        self._watermarks.grow(size)
        self._gaps.grow(size)

    def _take(self, done: BoolArray, tag: int) -> Closed:
        """Remove and return live windows, which the backlog keeps for late readings."""
        rows = self._open.take(done)
        self._backlog.remember(rows, tag)
        return self._rows(rows, np.zeros(len(rows), np.int64))

    def _rows(self, rows: OpenWindows, revision: IntArray) -> Closed:
        width = self._settings.width_ms
        std = np.sqrt(rows.m2 / np.maximum(rows.count, 1))
        mean = np.minimum(
            np.maximum(rows.mean, rows.min), rows.max
        )  # the mean must not exceed the extremes by rounding
        values = [mean, rows.min, rows.max, std]
        empty = rows.count == 0
        if empty.any():
            values = [np.where(empty, np.nan, column) for column in values]
        mean, low, high, std = values
        start, series_id = rows.start(width), rows.series_id
        return Closed(series_id, start, width, rows.count, mean, low, high, std, revision, rows.uncertain, rows.bad)


def _merged(one: Closed, other: Closed) -> Closed:
    columns = {
        name: np.concatenate((getattr(one, name), getattr(other, name)))
        for name in ("series_id", "start_ms", "count", "mean", "min", "max", "std", "revision", "uncertain", "bad")
    }
    order = np.lexsort((columns["start_ms"], columns["series_id"]))
    return Closed(width_ms=one.width_ms, **{name: column[order] for name, column in columns.items()})
