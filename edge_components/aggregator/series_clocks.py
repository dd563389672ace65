"""What each series' event times say of its clock: its watermark, and what has been closed. Pure, columnar."""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.window_types import NEVER, Arrays, BoolArray, WindowSettings, exported, imported
from wire.model import IntArray

_TIMES = ("_newest", "_closed", "_emitted", "_before", "_stretch_from", "_barred_from", "_barred_until")
_KEPT = (*_TIMES, "_ahead")


class SeriesClocks:
    """What each series' event times say of its clock; one row a place.

    ``newest``: event time that the watermark follows, ``heard``: when it last moved, ``closed``: before it nothing is
    taken, ``ahead``: all of the last batch lay ahead of the gateway's clock. ``emitted``: end of the last window that
    was emitted; the stretch that ends there began at ``stretch_from``, after a jump from ``before``. ``barred``: [from,
    until) of a stretch that was emitted ahead of the clock and left again.
    """

    def __init__(self) -> None:
        self._newest, self._closed, self._emitted = (np.zeros(0, np.int64) for _ in range(3))
        self._before, self._stretch_from = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._barred_from, self._barred_until = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._heard = np.zeros(0)
        self._ahead = np.zeros(0, np.bool_)
        self._present = NEVER

    def grow(self, size: int) -> None:
        """Have a row for each place below ``size``."""
        missing = size - len(self._newest)
        if missing <= 0:
            return
        for name in _TIMES:
            setattr(self, name, np.append(getattr(self, name), np.full(missing, NEVER)))
        self._heard = np.append(self._heard, np.zeros(missing))
        self._ahead = np.append(self._ahead, np.zeros(missing, np.bool_))

    @property
    def closed(self) -> IntArray:
        """Before which time nothing is taken any more, int64 a place."""
        return self._closed

    def state(self) -> Arrays:
        """Return what a restart needs."""
        return exported("clocks", self, _KEPT)

    def restore(self, arrays: Arrays, now: float) -> None:
        """Go on from :meth:`state`: what was heard before counts as heard at ``now``, for clocks start anew."""
        imported("clocks", self, _KEPT, arrays)
        self._heard = np.full(len(self._newest), now)

    def hear(
        self, place: IntArray, time_ms: IntArray, now_ms: int, now: float, settings: WindowSettings
    ) -> tuple[BoolArray, BoolArray]:
        """Move the clocks on by a batch; return which readings are late by what was closed before it, and which places
        came back from ahead of the gateway's clock.
        """
        self._present = present = now_ms + settings.tolerance_ms
        newest = np.full(len(self._newest), NEVER)
        np.maximum.at(newest, place, time_ms)
        timely = time_ms <= present
        newest_timely = np.full(len(self._newest), NEVER)
        np.maximum.at(newest_timely, place[timely], time_ms[timely])
        heard, in_time = newest > NEVER, newest_timely > NEVER

        returned = in_time & (self._closed > present) & ((self._emitted <= present) | (self._stretch_from > present))
        self._return_to_present(returned, newest_timely, settings)
        late = (time_ms < self._closed[place]) | (
            (time_ms >= self._barred_from[place]) & (time_ms < self._barred_until[place])
        )

        only_ahead = heard & ~in_time
        believed = only_ahead & (self._ahead | (self._newest == NEVER))
        self._ahead[heard] = only_ahead[heard]

        follows = np.where(believed, newest, newest_timely)
        moved = follows > self._newest
        self._newest[moved] = follows[moved]
        self._heard[moved] = now
        return late, returned

    def mark(self, now: float, settings: WindowSettings) -> IntArray:
        """Return each series' watermark, moved on by the time since it was heard where that is more than idle."""
        elapsed = ((now - self._heard) * 1000).astype(np.int64) - settings.idle_ms
        mark: IntArray = self._newest - settings.lateness_ms + np.maximum(elapsed, 0)
        return mark

    def close(self, place: IntArray, start_ms: IntArray, settings: WindowSettings) -> None:
        """Note that these windows (by place, then by start) were emitted, and what event times alone have closed."""
        by_event = self._newest - settings.lateness_ms
        np.maximum(self._closed, by_event - by_event % settings.width_ms, out=self._closed)
        if not len(place):
            return
        end_ms = start_ms + settings.width_ms
        first = np.append(True, place[1:] != place[:-1])
        before = np.where(first, self._emitted[place], np.roll(end_ms, 1))
        # Only a jump from the present counts: one more of a series that is ahead already tells nothing new.
        jump = (start_ms - before > settings.tolerance_ms) & (before <= self._present)
        self._before[place[jump]] = before[jump]
        self._stretch_from[place[jump]] = start_ms[jump]
        np.maximum.at(self._emitted, place, end_ms)
        np.maximum(self._closed, self._emitted, out=self._closed)

    def _return_to_present(self, which: BoolArray, newest: IntArray, settings: WindowSettings) -> None:
        """Start again where the present was left, for series that were ahead; what was emitted there stays closed."""
        if not which.any():
            return
        present, emitted, before = self._present, self._emitted[which], self._before[which]
        went_on = newest[which] - settings.lateness_ms
        resume = np.where(before <= present, before, went_on - went_on % settings.width_ms)
        resume = np.where(emitted <= present, emitted, resume)
        self._bar(which & (self._emitted > present))
        self._closed[which] = self._emitted[which] = resume
        self._newest[which] = NEVER

    def _bar(self, which: BoolArray) -> None:
        """Keep closed the stretch that each of these emitted last, along with an earlier one that is still to come."""
        first, last = self._stretch_from[which], self._emitted[which]
        to_come = self._barred_until[which] > self._present
        self._barred_from[which] = np.where(to_come, np.minimum(self._barred_from[which], first), first)
        self._barred_until[which] = np.where(to_come, np.maximum(self._barred_until[which], last), last)
