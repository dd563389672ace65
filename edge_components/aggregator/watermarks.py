"""Watermark of each series, and the time up to which its windows are closed. Pure, columnar."""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.window_shapes import WindowShapes
from edge_components.aggregator.window_types import NEVER, Arrays, BoolArray, WindowSettings, exported, imported
from wire.model import IntArray

_TIMES = ("_newest", "_closed", "_emitted", "_before", "_stretch_from", "_barred_from", "_barred_until")
_STORED = {
    "watermark_newest": "_newest",
    "watermark_closed": "_closed",
    "watermark_emitted": "_emitted",
    "watermark_before": "_before",
    "watermark_stretch_from": "_stretch_from",
    "watermark_barred_from": "_barred_from",
    "watermark_barred_until": "_barred_until",
    "watermark_ahead": "_ahead",
    "watermark_moved_at": "_moved_at",
}


class WatermarkTracker:
    """Event-time progress of each series, indexed by series id.

    ``newest``: event time that the watermark follows, ``moved_at``: when it last advanced, ``closed``: readings before
    it are late, ``ahead``: all of the last batch was ahead of the gateway's clock. ``emitted``: end of the last emitted
    window; the range that ends there began at ``stretch_from``, after a jump from ``before``. ``barred``: [from, until)
    of a range that was emitted ahead of the clock and left again.
    """

    def __init__(self) -> None:
        self._newest, self._closed, self._emitted = (np.zeros(0, np.int64) for _ in range(3))
        self._before, self._stretch_from = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._barred_from, self._barred_until = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._moved_at = np.zeros(0)
        self._ahead = np.zeros(0, np.bool_)
        self._present = NEVER
        self._any_barred = False

    def grow(self, size: int) -> None:
        """Extend the arrays to ``size`` series."""
        missing = size - len(self._newest)
        if missing <= 0:
            return
        for name in _TIMES:
            setattr(self, name, np.append(getattr(self, name), np.full(missing, NEVER)))
        self._moved_at = np.append(self._moved_at, np.zeros(missing))
        self._ahead = np.append(self._ahead, np.zeros(missing, np.bool_))

    @property
    def closed(self) -> IntArray:
        """Event time before which readings are late, int64 by series id."""
        return self._closed

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return exported(self, _STORED)

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""
        imported(self, _STORED, arrays)
        self._any_barred = bool((self._barred_until > NEVER).any())

    def rebase(self, now: float) -> None:
        """Count all watermarks as moved at ``now``: a new process has a new idle clock."""
        self._moved_at = np.full(len(self._newest), now)

    def reset(self, series_id: int) -> None:
        """Remove a series whose id is reused."""
        for name in _TIMES:
            getattr(self, name)[series_id] = NEVER
        self._moved_at[series_id], self._ahead[series_id] = 0.0, False

    def observe(
        self,
        series_id: IntArray,
        time_ms: IntArray,
        now_ms: int,
        now: float,
        settings: WindowSettings,
        shapes: WindowShapes,
    ) -> tuple[BoolArray, BoolArray]:
        """Advance the watermarks by a batch.

        Return a mask of the readings that are late by what was closed before, and one of the series that returned from
        ahead of the gateway's clock to the present.
        """
        self._present = present = now_ms + settings.tolerance_ms
        newest = np.full(len(self._newest), NEVER)
        np.maximum.at(newest, series_id, time_ms)
        newest_timely, timely = newest, time_ms <= present
        if not timely.all():
            newest_timely = np.full(len(self._newest), NEVER)
            np.maximum.at(newest_timely, series_id[timely], time_ms[timely])
        seen, in_time = newest > NEVER, newest_timely > NEVER

        returned = in_time & (self._closed > present) & ((self._emitted <= present) | (self._stretch_from > present))
        self._return_to_present(returned, newest_timely, settings, shapes)
        late = self.late(series_id, time_ms)

        only_ahead = seen & ~in_time
        accepted = only_ahead & (self._ahead | (self._newest == NEVER))
        self._ahead[seen] = only_ahead[seen]

        follows = np.where(accepted, newest, newest_timely)
        moved = follows > self._newest
        self._newest[moved] = follows[moved]
        self._moved_at[moved] = now
        return late, returned

    def late(self, series_id: IntArray, time_ms: IntArray) -> BoolArray:
        """Return a mask of the times whose windows are closed."""
        mask: BoolArray = time_ms < self._closed[series_id]
        if self._any_barred:
            mask |= (time_ms >= self._barred_from[series_id]) & (time_ms < self._barred_until[series_id])
        return mask

    def watermark(self, now: float, settings: WindowSettings) -> IntArray:
        """Return each series' watermark, advanced by the time since it last moved beyond the idle timeout."""
        elapsed = ((now - self._moved_at) * 1000).astype(np.int64) - settings.idle_ms
        mark: IntArray = self._newest - settings.lateness_ms + np.maximum(elapsed, 0)
        return mark

    def close(self, series_id: IntArray, start_ms: IntArray, settings: WindowSettings, shapes: WindowShapes) -> None:
        """Record emitted windows (by series id, then by start), and what event times alone have closed."""
        by_event = self._newest - settings.lateness_ms
        np.maximum(self._closed, by_event - by_event % shapes.hops(len(by_event)), out=self._closed)
        if not len(series_id):
            return
        end_ms = start_ms + shapes.hop(series_id)
        first = np.append(True, series_id[1:] != series_id[:-1])
        before = np.where(first, self._emitted[series_id], np.roll(end_ms, 1))
        # Only a jump from the present is relevant, not one of a series that is already ahead.
        jump = (start_ms - before > settings.tolerance_ms) & (before <= self._present)
        self._before[series_id[jump]] = before[jump]
        self._stretch_from[series_id[jump]] = start_ms[jump]
        np.maximum.at(self._emitted, series_id, end_ms)
        np.maximum(self._closed, self._emitted, out=self._closed)

    def _return_to_present(
        self, which: BoolArray, newest: IntArray, settings: WindowSettings, shapes: WindowShapes
    ) -> None:
        """Restore the watermark of the present for series that were ahead; windows emitted there stay closed."""
        if not which.any():
            return
        present, emitted, before = self._present, self._emitted[which], self._before[which]
        went_on = newest[which] - settings.lateness_ms
        resume = np.where(before <= present, before, went_on - went_on % shapes.hop(np.flatnonzero(which)))
        resume = np.where(emitted <= present, emitted, resume)
        self._bar(which & (self._emitted > present))
        self._closed[which] = self._emitted[which] = resume
        self._newest[which] = NEVER

    def _bar(self, which: BoolArray) -> None:
        """Keep the last emitted range of each series closed, together with an earlier one that is still ahead."""
        first, last = self._stretch_from[which], self._emitted[which]
        upcoming = self._barred_until[which] > self._present
        self._barred_from[which] = np.where(upcoming, np.minimum(self._barred_from[which], first), first)
        self._barred_until[which] = np.where(upcoming, np.maximum(self._barred_until[which], last), last)
        self._any_barred |= bool(which.any())
