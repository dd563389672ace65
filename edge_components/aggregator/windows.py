"""Event-time tumbling windows: [start, end), aligned to the epoch, each emitted once. Pure, columnar.

Every series has its own watermark: its newest event time less the allowed lateness. A window closes when the watermark
reaches its end, or, so that a series that fell silent does not hold it for ever, when the time since then would have
brought the watermark there and the idle timeout has passed too. Readings before what has been closed are late.

A series whose event times lie ahead of the gateway's clock is believed once it says so twice in a row, and never
touches another series; when it comes back to the present, it starts again there. docs/adr/0003 says why.

Deviations are merged by Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances" (1979), which stays exact where sums of squares cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wire.model import FloatArray, IntArray

NEVER = np.iinfo(np.int64).min // 4
"""Before every time, with room to subtract from it."""

_WINDOW_BITS = 48
_WINDOW_MASK = (1 << _WINDOW_BITS) - 1
_SPACING_GAIN, _SPACING_GROWTH = 0.25, 4.0
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """How windows are cut and when they close; milliseconds."""

    width_ms: int = 10_000
    lateness_ms: int = 1_000
    idle_ms: int = 10_000
    tolerance_ms: int = 10_000
    gap_windows: int = 3


@dataclass(frozen=True, slots=True)
class Closed:
    """Closed windows as columns, by series and then by start; ``std`` is that of the population.

    A row of count 0 (mean, min, max and std NaN) says that a series was silent where it was to be expected.
    """

    place: IntArray
    start_ms: IntArray
    width_ms: int
    count: IntArray
    mean: FloatArray
    min: FloatArray
    max: FloatArray
    std: FloatArray

    def __len__(self) -> int:
        return len(self.start_ms)


class Windows:
    """All open windows of all series; a series is a *place* (a number from 0, below 2^15)."""

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._open = _Open.empty()
        self._clocks = _Clocks()
        self._silence = _Silence()

    def __len__(self) -> int:
        """How many windows are open."""
        return len(self._open.key)

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
        self._clocks.close(closed.place, closed.start_ms + settings.width_ms, settings)
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

    def _take(self, done: BoolArray) -> Closed:
        width = self._settings.width_ms
        rows = self._open.take(done)
        std = np.sqrt(rows.m2 / np.maximum(rows.count, 1))
        mean = np.clip(rows.mean, rows.min, rows.max)  # rounding must not carry it outside
        return Closed(rows.place, rows.start(width), width, rows.count, mean, rows.min, rows.max, std)


@dataclass(slots=True)
class _Open:
    """Open windows, sorted by key: the place above, the window's number since the epoch below."""

    key: IntArray
    count: IntArray
    mean: FloatArray
    m2: FloatArray
    min: FloatArray
    max: FloatArray

    @classmethod
    def empty(cls) -> _Open:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), *(np.zeros(0) for _ in range(4)))

    @property
    def place(self) -> IntArray:
        return self.key >> _WINDOW_BITS

    def start(self, width_ms: int) -> IntArray:
        return (self.key & _WINDOW_MASK) * width_ms

    def add(self, place: IntArray, time_ms: IntArray, value: FloatArray, width_ms: int) -> None:
        """Fold readings in: group them by window, then merge the groups with what is open."""
        part = _grouped((place << _WINDOW_BITS) | (time_ms // width_ms), value)
        at = np.searchsorted(self.key, part.key)
        known = at < len(self.key)
        known[known] = self.key[at[known]] == part.key[known]
        self._merge(at[known], part.select(known))
        if not known.all():
            new = ~known
            for name in self.__slots__:
                setattr(self, name, np.insert(getattr(self, name), at[new], getattr(part, name)[new]))

    def take(self, which: BoolArray) -> _Open:
        """Return the windows selected and keep the rest."""
        if not which.any():
            return _Open.empty()
        taken, rest = self.select(which), self.select(~which)
        for name in self.__slots__:
            setattr(self, name, getattr(rest, name))
        return taken

    def select(self, which: BoolArray) -> _Open:
        return _Open(*(getattr(self, name)[which] for name in self.__slots__))

    def _merge(self, at: npt.NDArray[np.intp], part: _Open) -> None:
        """Merge each group with the open window at its position (Chan, Golub and LeVeque)."""
        mine, theirs = self.count[at], part.count
        total = mine + theirs
        delta = part.mean - self.mean[at]
        self.mean[at] += delta * (theirs / total)
        self.m2[at] += part.m2 + delta * delta * (mine * (theirs / total))
        self.count[at] = total
        self.min[at] = np.minimum(self.min[at], part.min)
        self.max[at] = np.maximum(self.max[at], part.max)


def _grouped(key: IntArray, value: FloatArray) -> _Open:
    """Return one row a key; deviations are taken from each group's first value and then from its mean."""
    order = np.argsort(key, kind="stable")
    key, value = key[order], value[order]
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    count = np.diff(np.append(first, len(key)))
    reference = value[first]
    offset = value - np.repeat(reference, count)
    mean = np.add.reduceat(offset, first) / count
    offset -= np.repeat(mean, count)
    m2 = np.add.reduceat(offset * offset, first)
    low, high = np.minimum.reduceat(value, first), np.maximum.reduceat(value, first)
    return _Open(key[first], count.astype(np.int64), reference + mean, m2, low, high)


class _Clocks:
    """What each series' event times say of its clock; one row a place.

    ``newest``: event time that the watermark follows, ``heard``: when it last moved, ``closed``: before it nothing is
    taken. ``ahead``: all of the last batch lay ahead of the gateway's clock. ``honest``: where the present stood when a
    series was first believed to be ahead; ``barred``: [from, until) that was emitted while it was.
    """

    def __init__(self) -> None:
        self._newest, self._closed, self._honest = (np.zeros(0, np.int64) for _ in range(3))
        self._barred_from, self._barred_until = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._heard = np.zeros(0)
        self._ahead = np.zeros(0, np.bool_)

    def grow(self, size: int) -> None:
        missing = size - len(self._newest)
        if missing <= 0:
            return
        for name in ("_newest", "_closed", "_honest", "_barred_from", "_barred_until"):
            setattr(self, name, np.append(getattr(self, name), np.full(missing, NEVER)))
        self._heard = np.append(self._heard, np.zeros(missing))
        self._ahead = np.append(self._ahead, np.zeros(missing, np.bool_))

    def hear(
        self, place: IntArray, time_ms: IntArray, now_ms: int, now: float, settings: WindowSettings
    ) -> tuple[BoolArray, BoolArray]:
        """Move the clocks on by a batch; return which readings are late by what was closed before it, and which places
        came back from ahead of the gateway's clock.
        """
        present = now_ms + settings.tolerance_ms
        newest = np.full(len(self._newest), NEVER)
        np.maximum.at(newest, place, time_ms)
        timely = time_ms <= present
        newest_timely = np.full(len(self._newest), NEVER)
        np.maximum.at(newest_timely, place[timely], time_ms[timely])
        heard, in_time = newest > NEVER, newest_timely > NEVER

        returned = in_time & (self._closed > present)
        self._return_to_present(returned, newest_timely, present, settings)
        late = (time_ms < self._closed[place]) | (
            (time_ms >= self._barred_from[place]) & (time_ms < self._barred_until[place])
        )

        only_ahead = heard & ~in_time
        believed = only_ahead & (self._ahead | (self._newest == NEVER))
        start = present - present % settings.width_ms
        self._honest[believed & (self._honest == NEVER)] = start
        self._honest[in_time] = NEVER
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

    def close(self, place: IntArray, end_ms: IntArray, settings: WindowSettings) -> None:
        """Note that windows up to ``end_ms`` were emitted, and what the event times alone have closed."""
        by_event = self._newest - settings.lateness_ms
        np.maximum(self._closed, by_event - by_event % settings.width_ms, out=self._closed)
        np.maximum.at(self._closed, place, end_ms)

    def _return_to_present(self, which: BoolArray, newest: IntArray, present: int, settings: WindowSettings) -> None:
        """Start again where ``newest`` is, for series that were ahead; what was emitted there is not emitted again."""
        if not which.any():
            return
        width = settings.width_ms
        known = self._honest[which] > NEVER
        began = newest[which] - settings.lateness_ms
        resume = np.where(known, self._honest[which], began - began % width)
        barred_from = np.where(known, self._honest[which], present - present % width + width)
        was_barred = self._barred_until[which] > barred_from
        self._barred_from[which] = np.where(was_barred, np.minimum(self._barred_from[which], barred_from), barred_from)
        self._barred_until[which] = np.maximum(self._barred_until[which], self._closed[which])
        self._closed[which] = resume
        self._newest[which] = NEVER


class _Silence:
    """When each series is to be expected, and how often its silence has been told; one row a place."""

    def __init__(self) -> None:
        self._last = np.zeros(0, np.int64)
        self._spacing = np.zeros(0)
        self._told = np.zeros(0, np.int64)

    def grow(self, size: int) -> None:
        missing = size - len(self._last)
        if missing > 0:
            self._last = np.append(self._last, np.full(missing, NEVER))
            self._spacing = np.append(self._spacing, np.full(missing, np.nan))
            self._told = np.append(self._told, np.zeros(missing, np.int64))

    def forget(self, which: BoolArray) -> None:
        """Expect nothing of these places until they have spoken again."""
        self._last[which] = NEVER
        self._told[which] = 0

    def speak(self, place: IntArray, start_ms: IntArray, width_ms: int) -> None:
        """Learn from emitted windows how far apart a series' windows usually are (never less than a width)."""
        if not len(place):
            return
        newest = np.full(len(self._last), NEVER)
        np.maximum.at(newest, place, start_ms)
        count = np.bincount(place, minlength=len(newest))
        moved = newest > self._last
        known = moved & (self._last > NEVER)
        distance = (newest[known] - self._last[known]) / count[known]
        usual = self._spacing[known]
        usual = np.where(np.isnan(usual), distance, usual)
        step = _SPACING_GAIN * (np.minimum(distance, _SPACING_GROWTH * usual) - usual)
        self._spacing[known] = np.maximum(usual + step, width_ms)
        self._last[moved] = newest[moved]
        self._told[moved] = 0

    def gaps(self, mark: IntArray, settings: WindowSettings, busy: IntArray) -> Closed:
        """Return a row of count 0 for each expected window that a series let pass, the first few of a silence only.

        ``busy`` are the places with an open window. A row comes one usual spacing after the window's end.
        """
        width = settings.width_ms
        rest = (self._told < settings.gap_windows) & ~np.isnan(self._spacing) & (self._last > NEVER)
        rest[busy] = False
        places, starts = [], []
        for _ in range(settings.gap_windows):
            candidate = np.flatnonzero(rest)
            expected = self._last[candidate] + (self._spacing[candidate] * (self._told[candidate] + 1)).astype(np.int64)
            start = expected - expected % width
            due = start + width + self._spacing[candidate] <= mark[candidate]
            if not due.any():
                break
            candidate, start = candidate[due], start[due]
            places.append(candidate)
            starts.append(start)
            self._told[candidate] += 1
            rest[:] = False
            rest[candidate] = self._told[candidate] < settings.gap_windows
        if not places:
            return _silent(np.zeros(0, np.int64), np.zeros(0, np.int64), width)
        return _silent(np.concatenate(places).astype(np.int64), np.concatenate(starts), width)


def _silent(place: IntArray, start_ms: IntArray, width_ms: int) -> Closed:
    nothing = [np.full(len(place), np.nan) for _ in range(4)]
    return Closed(place, start_ms, width_ms, np.zeros(len(place), np.int64), *nothing)


def _merged(one: Closed, other: Closed) -> Closed:
    columns = {
        name: np.concatenate((getattr(one, name), getattr(other, name)))
        for name in ("place", "start_ms", "count", "mean", "min", "max", "std")
    }
    order = np.lexsort((columns["start_ms"], columns["place"]))
    return Closed(width_ms=one.width_ms, **{name: column[order] for name, column in columns.items()})
