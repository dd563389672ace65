"""Windows that late readings open or correct, and the revisions that they are emitted as. Pure, columnar.

A reading is late when its window was closed before it came: a logger sends its live value first and then the hours for
which it was disconnected. Its window is one of four kinds:

- open here, because another late reading came before: the reading is added; - emitted, and still kept
(closed_windows.py): it is opened again with the reading, and emitted with the next revision; - never emitted: it is
opened, and emitted with revision 1 once it is complete; - emitted and no longer known by its readings
(emitted_ranges.py), or older than the allowed backlog: the reading is dropped.

A late window is complete when no reading has come for it during the idle timeout. One that is emitted too early costs
only another revision.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_components.aggregator.closed_windows import ClosedWindows
from edge_components.aggregator.emitted_ranges import EmittedRanges
from edge_components.aggregator.open_windows import LateWindows, OpenWindows, grouped
from edge_components.aggregator.window_shapes import WindowShapes
from edge_components.aggregator.window_types import Arrays, BoolArray, WindowSettings
from wire.model import ByteArray, FloatArray, IntArray

MAX_OPEN = 65_536
"""Maximum number of open late windows (6 MB); beyond it the least recently updated ones are emitted."""

_SLACK_SPACINGS = 2


class Backlog:
    """Late windows of all series."""

    def __init__(self, settings: WindowSettings, shapes: WindowShapes, spacing: Callable[[], FloatArray]) -> None:
        """``spacing`` gives the usual spacing of each series' windows, NaN where it is not known, by series id."""
        self.settings, self._shapes, self._spacing = settings, shapes, spacing
        self._open = LateWindows.empty()
        self._closed = ClosedWindows()
        self._ranges = EmittedRanges()

    @property
    def readings(self) -> int:
        """Number of readings in open late windows that are not in an emitted row yet."""
        return int(self._open.added.sum())

    @property
    def busy(self) -> IntArray:
        """Ids of the series that have an open late window."""
        return np.unique(self._open.series_id)

    @property
    def keys(self) -> IntArray:
        """Keys of the windows that a late reading can correct, sorted."""
        keys: IntArray = np.union1d(self._open.key, self._closed.keys)
        return keys

    def grow(self, size: int) -> None:
        """Extend the arrays to ``size`` series."""
        self._ranges.grow(size)

    def add(
        self,
        series_id: IntArray,
        time_ms: IntArray,
        value: FloatArray,
        *,
        closed_ms: IntArray,
        present_ms: int | None,
        idle_ms: int,
        tag: int,
        quality: ByteArray | None = None,
    ) -> BoolArray:
        """Add late readings and return a mask of those that were accepted.

        ``closed_ms`` is the event time before which windows are closed, by series id; ``present_ms`` the gateway's
        clock with its tolerance, None while the clock is not set; ``tag`` the number of the next clean-up of the
        deduplicator.
        """
        hop = self._shapes.hop(series_id)
        closed = closed_ms[series_id]
        end = time_ms - time_ms % hop + hop
        possible = (time_ms >= closed - self.settings.backlog_ms) & (end <= closed)
        if present_ms is not None:
            possible &= end <= present_ms
        if not possible.any():
            return possible
        keys = OpenWindows.keys(series_id, time_ms, hop)
        wanted = np.unique(keys[possible])
        accepted = possible & np.isin(keys, self._openable(wanted))
        if not accepted.any():
            return accepted
        for part in grouped(keys[accepted], value[accepted], None if quality is None else quality[accepted]):
            self._open.merge(LateWindows.of(part, touched_ms=idle_ms, added=part.count.copy(), tag=tag))
        return accepted

    def close(self, idle_ms: int) -> LateWindows:
        """Remove and return the late windows that are complete, with their new revision."""
        if not len(self._open):
            return self._open.empty()
        done = self._open.touched_ms + self.settings.idle_ms <= idle_ms
        surplus = len(self._open) - int(np.count_nonzero(done)) - MAX_OPEN
        if surplus > 0:
            surplus += MAX_OPEN // 4
            done[np.argsort(self._open.touched_ms, kind="stable")[: np.count_nonzero(done) + surplus]] = True
        return self._emit(done)

    def remember(self, windows: OpenWindows, tag: int) -> None:
        """Keep windows that were closed and emitted as live rows, so that late readings can correct them."""
        if not len(windows) or not self.settings.backlog_ms:
            return
        self._keep(LateWindows.of(windows, touched_ms=0, added=np.zeros(len(windows), np.int64), tag=tag))

    def forget(self, tag: int) -> None:
        """Discard the windows whose readings the deduplicator no longer knows: those of this tag and older ones."""
        self._close(self._closed.take_tagged(tag))

    def finish(self, which: BoolArray) -> LateWindows:
        """Remove and return the late windows of some series, complete or not, with their new revision.

        ``which`` is a mask by series id. Their windows are no longer corrected.
        """
        rows = self._emit(self._open.of_series(which))
        self._close(self._closed.take_series(which))
        return rows

    def rescale(self, which: BoolArray, factor: float, offset: float) -> None:
        """Convert the values of some series to another unit; ``which`` is a mask by series id."""
        self._open.rescale(self._open.of_series(which), factor, offset)
        self._closed.rescale(which, factor, offset)

    def reconfigure(self, settings: WindowSettings, shapes: WindowShapes) -> None:
        """Apply other settings; the windows of series with another shape were finished before."""
        self.settings, self._shapes = settings, shapes

    def reset(self, series_id: int, newest_ms: int) -> None:
        """Remove a series without open late windows, because its id is reused.

        If it returns, everything up to the newest time of all removed series counts as emitted.
        """
        self._ranges.initial_until = max(self._ranges.initial_until, newest_ms)
        self.grow(series_id + 1)
        self._closed.remove_series(series_id)
        self._ranges.reset(series_id)

    def remove(self, series_id: IntArray, start_ms: IntArray) -> None:
        """Drop windows, by the start of their last hop, that an earlier process emitted; they count as emitted."""
        hop = self._shapes.hop(series_id)
        self.grow(int(series_id.max()) + 1)
        keys = np.unique(OpenWindows.keys(series_id, start_ms, hop))
        self._open.take(np.isin(self._open.key, keys))
        self._closed.take(keys)
        self._ranges.add(series_id, start_ms, start_ms + hop, np.zeros(int(series_id.max()) + 1, np.int64))

    def discard(self) -> int:
        """Drop all late windows and return the number of readings that only they had."""
        readings = self.readings
        self._open = LateWindows.empty()
        self._closed = ClosedWindows()
        return readings

    def cover_all(self, until_ms: IntArray, initial_until_ms: int) -> None:
        """Count everything before ``until_ms`` of each series as emitted, and before the other time of new series."""
        self._ranges.initial_until = max(self._ranges.initial_until, initial_until_ms)
        self.grow(len(until_ms))
        self._ranges.cover_all(until_ms)

    def rebase(self) -> None:
        """Reset times for a new process, whose idle clock begins at 0."""
        self._open.touched_ms[:] = 0

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return (
            self._open.state()
            | self._closed.state()
            | self._ranges.state()
            | {"emitted_initial": np.array([self._ranges.initial_until], np.int64)}
        )

    @staticmethod
    def stored_in(arrays: Arrays) -> bool:
        """Return whether a snapshot has the arrays of :meth:`state`; the first version's have not."""
        return "late_key" in arrays

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`; raises KeyError or ValueError for other arrays."""
        self._open.restore(arrays)
        self._closed.restore(arrays)
        self._ranges.restore(arrays)
        self._ranges.initial_until = int(arrays["emitted_initial"][0])

    def _openable(self, keys: IntArray) -> IntArray:
        """Return those of the sorted keys whose windows accept readings; emitted ones are opened again."""
        new = keys[~np.isin(keys, self._open.key)]
        if not len(new):
            return keys
        reopened = self._closed.take(new)
        if len(reopened):
            self._open.merge(reopened)
            new = new[~np.isin(new, reopened.key)]
        windows = OpenWindows.empty()
        windows.key = new
        start, hop = windows.start(self._shapes), self._shapes.hop(windows.series_id)
        self.grow(int(windows.series_id.max()) + 1 if len(new) else 0)
        blocked = new[self._ranges.overlap(windows.series_id, start, start + hop)]
        return keys[~np.isin(keys, blocked)]

    def _emit(self, done: BoolArray) -> LateWindows:
        """Remove and return late windows with their next revision, and keep them for further late readings."""
        rows = self._open.take(done)
        if not len(rows):
            return rows
        rows.revision += 1
        kept = rows.select(np.ones(len(rows), np.bool_))
        kept.added, kept.touched_ms = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        self._keep(kept)
        return rows

    def _keep(self, windows: LateWindows) -> None:
        self._closed.add(windows)
        surplus = self._closed.remove_excess()
        if surplus is not None:
            self._close(surplus)

    def _close(self, windows: LateWindows) -> None:
        if not len(windows):
            return
        series_id, start = windows.series_id, windows.start(self._shapes)
        self.grow(int(series_id.max()) + 1)
        spacing = self._spacing()
        hops = self._shapes.hops(len(spacing))
        known = np.maximum(np.where(np.isnan(spacing), hops, spacing), hops).astype(np.int64)
        self._ranges.add(series_id, start, start + self._shapes.hop(series_id), _SLACK_SPACINGS * known)
