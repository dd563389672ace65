"""Event-time windows: [start, end), aligned to the epoch, each emitted once as a live row. Pure, columnar.

Every series has its own watermark: its newest event time less the allowed lateness. A window closes when the watermark
reaches its end, or, for a series that stopped reporting, when the time since then would have brought the watermark
there and the idle timeout has passed too. Readings before the end of closed windows are late: they open or correct
windows of the backlog (backlog.py), which are emitted as revisions.

Event times ahead of the gateway's clock are accepted after two batches in a row, and never affect another series; a
series that returns to the present resumes there. docs/adr/0003 gives the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_components.aggregator.backlog import Backlog
from edge_components.aggregator.gap_detector import GapDetector
from edge_components.aggregator.grade import GRADES, WITHIN_DEADBAND, Grade
from edge_components.aggregator.open_windows import LateWindows, OpenWindows
from edge_components.aggregator.unreported_windows import UnreportedWindows
from edge_components.aggregator.watermarks import WatermarkTracker
from edge_components.aggregator.window_rows import NO_ROWS, closed_rows, gap_rows, merged
from edge_components.aggregator.window_shapes import WindowShapes
from edge_components.aggregator.window_statistics import Observed, WindowStatistics
from edge_components.aggregator.window_types import Arrays, BoolArray, Closed, WindowSettings
from edge_components.common.wall_clock import is_set
from wire.model import ByteArray, FloatArray, IntArray

_NO_WINDOWS = OpenWindows.empty()


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Clocks and clean-up number when a batch was received; see :meth:`Windows.add`."""

    now_ms: int
    now: float
    tag: int


class Windows:
    """All open windows of all series; a series id is a number from 0, below 2^15."""

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self.shapes = WindowShapes(settings.width_ms, settings.shapes)
        """Length and hop by series id; :meth:`WindowShapes.assign` must be called for each new id."""
        self._open = OpenWindows.empty()
        self._watermarks = WatermarkTracker()
        self._gaps = GapDetector()
        self._backlog = Backlog(settings, self.shapes, lambda: self._gaps.spacing)
        self._unreported = UnreportedWindows()
        self.statistics = WindowStatistics(settings.statistics)
        """Further statistics by series id; :meth:`WindowStatistics.assign` must be called for each new id."""
        self.late_accepted = 0
        """Number of late readings accepted by this object."""
        self._unreported_windows = self._unreported_readings = 0

    def __len__(self) -> int:
        """Number of open windows."""
        return len(self._open.key)

    @property
    def readings(self) -> int:
        """Number of readings in the open windows that are not in an emitted row yet, once for each window."""
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
        number of the deduplicator's next clean-up. ``quality`` has the codes of :class:`Grade`, with WITHIN_DEADBAND;
        readings that are not used are counted in no number that is returned.
        """
        if not len(series_id):
            return 0
        self._grow(int(series_id.max()) + 1)
        late, returned = self._watermarks.observe(series_id, time_ms, now_ms, now, self._settings, self.shapes)
        self._gaps.reset(returned)
        arrival = _Arrival(now_ms, now, tag)
        if not self.shapes.sliding:
            accepted, dropped = self._add(series_id, time_ms, value, quality, late, arrival)
            self.late_accepted += int(np.count_nonzero(accepted))
            return int(np.count_nonzero(dropped))
        spread = self.shapes.spread(series_id, time_ms)
        at, spread_late = spread.reading, self._watermarks.late(spread.series_id, spread.time_ms)
        spread_quality = None if quality is None else quality[at]
        accepted, dropped = self._add(spread.series_id, spread.time_ms, value[at], spread_quality, spread_late, arrival)
        self.late_accepted += len(np.unique(at[accepted]))
        return len(np.setdiff1d(at[dropped], at[~dropped]))  # dropped from each window that it is in

    def _add(
        self,
        series_id: IntArray,
        time_ms: IntArray,
        value: FloatArray,
        quality: ByteArray | None,
        late: BoolArray,
        arrival: _Arrival,
    ) -> tuple[BoolArray, BoolArray]:
        """Add rows to the windows whose last hop they are in; return masks of late rows: accepted ones, dropped ones.

        Rows that are not used are in neither.
        """
        fresh = ~late
        keys = OpenWindows.keys(series_id, time_ms, self.shapes.hop(series_id))
        if quality is not None:
            within, quality = quality >= WITHIN_DEADBAND, quality & np.uint8(GRADES)
            if len(self._unreported) or within.any():
                self._unreported.observe(keys[fresh], within[fresh], self._open.key)
        if self.statistics:
            self._observe(fresh, series_id, keys, time_ms, value, quality, late=False)
        if fresh.all():
            self._open.add(keys, value, quality)
            return late, late
        if fresh.any():
            self._open.add(keys[fresh], value[fresh], None if quality is None else quality[fresh])
        used = late if quality is None else late & (quality != Grade.UNUSABLE)
        if not self._settings.backlog_ms:
            return np.zeros(len(late), np.bool_), used
        accepted = np.zeros(len(late), np.bool_)
        accepted[late] = self._backlog.add(
            series_id[late],
            time_ms[late],
            value[late],
            closed_ms=self._watermarks.closed,
            present_ms=arrival.now_ms + self._settings.tolerance_ms if is_set(arrival.now_ms) else None,
            idle_ms=round(arrival.now * 1000),
            tag=arrival.tag,
            quality=None if quality is None else quality[late],
        )
        if self.statistics and accepted.any():
            self._observe(accepted, series_id, keys, time_ms, value, quality, late=True)
        return accepted & used, used & ~accepted

    def _observe(
        self,
        which: BoolArray,
        series_id: IntArray,
        keys: IntArray,
        time_ms: IntArray,
        value: FloatArray,
        quality: ByteArray | None,
        *,
        late: bool,
    ) -> None:
        """Add the usable ones of the selected rows to the statistics."""
        used = which if quality is None else which & (quality != Grade.UNUSABLE)
        if used.any():
            self.statistics.observe(series_id[used], keys[used], time_ms[used], value[used], late=late)

    def close_late(self, now: float) -> tuple[Closed, int]:
        """Remove and return the late windows that are complete, and the number of readings that are new in them."""
        return self._late_rows(self._backlog.close(round(now * 1000)))

    def _late_rows(self, rows: LateWindows) -> tuple[Closed, int]:
        closed = self._rows(rows, rows.revision, self.statistics.late)
        if self.statistics.crowded:
            self.statistics.retain(self._backlog.keys)
        return closed, int(rows.added.sum())

    def forget(self, tag: int) -> None:
        """Discard closed windows whose readings the deduplicator no longer knows: of this tag and older ones."""
        self._backlog.forget(tag)

    def close(self, now: float, tag: int = 0) -> Closed:
        """Remove and return the windows that are complete; ``now`` and ``tag`` as in :meth:`add`."""
        settings = self._settings
        mark = self._watermarks.watermark(now, settings)
        series_id, start = self._open.series_id, self._open.start(self.shapes)
        rows, observed = self._take(start + self.shapes.hop(series_id) <= mark[series_id], tag)
        start = rows.start(self.shapes)
        self._watermarks.close(rows.series_id, start, settings, self.shapes)
        self._gaps.observe(rows.series_id, start, self.shapes)
        closed = self._live_rows(rows, observed)
        if settings.gap_windows:
            series_id, start = self._open.series_id, self._open.start(self.shapes)
            begun = start <= mark[series_id] + settings.lateness_ms  # windows ahead of the present are ignored
            missing_id, missing_start = self._gaps.gaps(mark, settings, self.shapes, series_id[begun])
            if len(missing_id):
                return merged(closed, gap_rows(missing_id, *self._extent(missing_id, missing_start)))
        return closed

    def take_unreported(self) -> tuple[int, int]:
        """Return the numbers of windows closed without a row since the last call, and of readings in them."""
        taken = self._unreported_windows, self._unreported_readings
        self._unreported_windows = self._unreported_readings = 0
        return taken

    def finish(self) -> Closed:
        """Remove and return all open windows, complete or not. Later readings for them open them again."""
        return self._finish(np.ones(len(self._open.key), np.bool_))

    def end(self, which: BoolArray) -> tuple[Closed, Closed, int]:
        """Remove and return the open windows of some series, complete or not, which late readings cannot correct.

        ``which`` is a mask by series id. Returns the live windows, the late ones, and the number of readings that are
        new in those.
        """
        closed = self._finish(self._open.of_series(which))
        late, added = self._late_rows(self._backlog.finish(which))
        if self.statistics:
            self.statistics.remove_series(which)
        return closed, late, added

    def close_series(self, which: BoolArray) -> tuple[Closed, Closed, int]:
        """Remove and return windows as :meth:`end` does; further readings for those that were open are late."""
        rows = self._open.select(self._open.of_series(which))
        ended = self.end(which)
        self._watermarks.close(rows.series_id, rows.start(self.shapes), self._settings, self.shapes)
        return ended

    def reconfigure(self, settings: WindowSettings) -> tuple[Closed, Closed, int]:
        """Apply other settings. The windows of series with another shape end; they are returned as by :meth:`end`."""
        shapes = self.shapes.reconfigured(settings)
        size = max(self.shapes.series, len(self._watermarks.closed))
        ended = self.end(self.shapes.changed(shapes, size))
        self.shapes = shapes
        self._backlog.reconfigure(settings, shapes)
        if settings.statistics != self._settings.statistics:
            self.statistics.reconfigure(settings.statistics)
        begins = settings.backlog_ms and not self._settings.backlog_ms
        self._settings = settings
        if begins:
            self.cover_emitted()
        return ended

    def cover_emitted(self, now_ms: int = 0) -> None:
        """Reject late readings in ranges that may have been emitted: closed windows, and all before ``now_ms``."""
        closed = self._watermarks.closed
        newest = int(closed.max()) if len(closed) else 0
        self._backlog.cover_all(np.maximum(closed, now_ms), max(newest, now_ms, 0))

    @property
    def closed_ms(self) -> IntArray:
        """Event time before which every window of a reading is closed, int64 by series id."""
        closed = self._watermarks.closed
        return closed - self.shapes.leads(len(closed)) if self.shapes.sliding else closed

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        if self.statistics:
            self.statistics.retain(self._backlog.keys)
        parts = (self._open, self._watermarks, self._gaps, self._backlog, self._unreported, self.statistics)
        return {name: array for part in parts for name, array in part.state().items()}

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state` of windows of the same shapes; raises KeyError or ValueError for other arrays."""
        self._open.restore(arrays)
        self._watermarks.restore(arrays)
        self._gaps.restore(arrays)
        self._unreported.restore(arrays)
        self.statistics.restore(arrays)
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
            if self.statistics:
                self.statistics.remove_series(_only(series_id))

    def rescale(self, series_id: int, factor: float, offset: float) -> None:
        """Convert the values in a series' windows to another unit; ``factor`` is above 0."""
        which = _only(series_id)
        self._open.rescale(self._open.of_series(which), factor, offset)
        self._backlog.rescale(which, factor, offset)
        if self.statistics:
            self.statistics.rescale(which, factor, offset)

    def remove(self, windows: Sequence[tuple[int, int]]) -> None:
        """Drop windows by series id and start, whether they are open or not; they stay closed."""
        if not windows:
            return
        series_id, start_ms = self._last_hops(windows)
        self._grow(int(series_id.max()) + 1)
        keys = OpenWindows.keys(series_id, start_ms, self.shapes.hop(series_id))
        self._open.take(np.isin(self._open.key, keys))
        self._unreported.take(np.unique(keys))
        self.statistics.remove_windows(np.unique(keys))
        self._watermarks.close(series_id, start_ms, self._settings, self.shapes)
        self._backlog.remove(series_id, start_ms)

    def remove_late(self, windows: Sequence[tuple[int, int]]) -> None:
        """Drop late windows by series id and start; no further reading is accepted for them."""
        if windows:
            series_id, start_ms = self._last_hops(windows)
            self._backlog.remove(series_id, start_ms)
            keys = OpenWindows.keys(series_id, start_ms, self.shapes.hop(series_id))
            self.statistics.remove_windows(np.unique(keys))

    def discard(self) -> int:
        """Drop all open windows and return the number of readings in them; they stay closed."""
        dropped = self._open.take(np.ones(len(self), np.bool_))
        self._unreported.clear()
        self.statistics.clear()
        self._watermarks.close(dropped.series_id, dropped.start(self.shapes), self._settings, self.shapes)
        late = self._backlog.discard()
        self.cover_emitted()
        return int(dropped.count.sum()) + late

    def _last_hops(self, windows: Sequence[tuple[int, int]]) -> tuple[IntArray, IntArray]:
        """Return series ids and starts of the last hops of windows by series id and start, sorted."""
        series_id, start_ms = np.array(sorted(windows), np.int64).T
        return series_id, start_ms + self.shapes.lead(series_id)

    def _grow(self, size: int) -> None:
        self._watermarks.grow(size)
        self._gaps.grow(size)
        self.shapes.grow(size)

    def _finish(self, which: BoolArray) -> Closed:
        rows, observed = self._take(which, 0)
        self._gaps.observe(rows.series_id, rows.start(self.shapes), self.shapes)
        if self.shapes.sliding:  # windows ahead of the present are ignored
            self._gaps.reset(rows.series_id[self.shapes.lead(rows.series_id) > 0])
        return self._live_rows(rows, observed)

    def _take(self, done: BoolArray, tag: int) -> tuple[OpenWindows, Observed | None]:
        """Remove and return live windows, which the backlog keeps for late readings, and what statistics know."""
        if not done.any():
            return _NO_WINDOWS, None
        rows = self._open.take(done)
        self._backlog.remember(rows, tag)
        if not self.statistics:
            return rows, None
        return rows, self.statistics.close(rows.key, kept=self._settings.backlog_ms > 0)

    def _live_rows(self, rows: OpenWindows, observed: Observed | None) -> Closed:
        """Return the live rows of windows that are closed: those with a reported reading."""
        if len(self._unreported) and len(rows):
            unreported = self._unreported.take(rows.key)
            self._unreported_windows += int(np.count_nonzero(unreported))
            self._unreported_readings += int(rows.count[unreported].sum())
            rows = rows.select(~unreported)
        return self._rows(rows, np.zeros(len(rows), np.int64), observed)

    def _rows(self, rows: OpenWindows, revision: IntArray, observed: Observed | None) -> Closed:
        if not len(rows):
            return NO_ROWS
        start, width = self._extent(rows.series_id, rows.start(self.shapes))
        if self.statistics and observed is not None:
            self.statistics.emit(observed, rows, start, width, revision)
        return closed_rows(rows, start, width, revision)

    def _extent(self, series_id: IntArray, last_hop_ms: IntArray) -> tuple[IntArray, IntArray]:
        """Return start and length of windows."""
        length = np.full(len(series_id), self.shapes.length(series_id), np.int64)
        return last_hop_ms - self.shapes.lead(series_id), length


def _only(series_id: int) -> BoolArray:
    """Return a mask of one series id."""
    which = np.zeros(series_id + 1, np.bool_)
    which[series_id] = True
    return which
