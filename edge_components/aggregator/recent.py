"""The readings that may come again: those of windows that are open, and of those that closed last. Pure, columnar.

Brokers and sensors repeat what they are not sure was received (QoS 1 says "at least once"). A repetition is known here
by series, time and value. That of a reading whose window has closed would be dropped as late anyway, but what is late
is missing from the aggregates, and what is a repetition is not: so that the two can be told apart, the newest
MAX_CLOSED of those hashes are kept too.

Kept is a 64-bit hash of the three, in runs that are each sorted and, from old to new, ever shorter (O'Neil et al., "The
Log-Structured Merge-Tree", 1996): a batch is looked up in each run and becomes the newest, and runs of like length are
merged. So a batch costs about its own size, not that of everything remembered. Of a million readings remembered, one
new reading in 10^13 is taken for a repetition by chance.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.window_types import Arrays, BoolArray
from wire.model import FloatArray, IntArray

MAX_ROWS = 1_000_000
"""Beyond it the oldest runs are forgotten: 24 MB."""

MAX_CLOSED = 65_536
"""Of closed windows: 512 KB in memory; on disk each is written once (see Checkpoint.save)."""

_MERGE_BELOW = 2
Hashes = npt.NDArray[np.uint64]


@dataclass(slots=True)
class _Run:
    """Rows in the order of their hash."""

    hash: Hashes
    place: IntArray
    time: IntArray

    def __len__(self) -> int:
        return len(self.hash)

    def has(self, hashes: Hashes) -> BoolArray:
        return _found(self.hash, hashes)

    def select(self, which: BoolArray) -> _Run:
        return _Run(self.hash[which], self.place[which], self.time[which])


class Recent:
    """What was taken of each series and is not closed yet."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._closed: deque[Hashes] = deque()
        self._fresh: list[Hashes] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def take(self, place: IntArray, time_ms: IntArray, value: FloatArray) -> BoolArray:
        """Remember the rows and return which of them repeat one taken before, or an earlier one of these."""
        hashes = _hash(place, time_ms, value)
        repeated = np.zeros(len(hashes), np.bool_)
        # Stable: of equal rows the one that came first stays first.
        order = np.argsort(hashes, kind="stable")
        in_order = hashes[order]
        repeated[order[1:][in_order[1:] == in_order[:-1]]] = True
        for run in self._runs:
            repeated |= run.has(hashes)
        for closed in self._closed:
            repeated |= _found(closed, hashes)
        new = order[~repeated[order]]
        if len(new):
            self._runs.append(_Run(hashes[new], place[new], time_ms[new]))
            self._tidy()
        return repeated

    def forget(self, closed_ms: IntArray) -> None:
        """Keep no more than the hash of rows before each place's ``closed_ms``: new ones would be late there."""
        kept = []
        for run in self._runs:
            still = run.time >= closed_ms[run.place]
            if not still.all():
                self._close(run.hash[~still])
            if still.any():
                kept.append(run.select(still))
        self._runs = kept
        self._tidy()

    def newly_closed(self) -> Hashes:
        """Return the hashes that :meth:`forget` has set aside since the last call."""
        fresh, self._fresh = self._fresh, []
        return np.concatenate(fresh) if fresh else np.zeros(0, np.uint64)

    def remember_closed(self, hashes: Hashes) -> None:
        """Go on with the hashes of :meth:`newly_closed` of a former process."""
        if len(hashes):
            self._close(np.sort(hashes))
            self._fresh = []

    def state(self) -> Arrays:
        """Return what a restart needs."""
        whole = _merged(self._runs)
        return {"recent_hash": whole.hash, "recent_place": whole.place, "recent_time": whole.time}

    def restore(self, state: Arrays) -> None:
        """Go on from :meth:`state`; raises KeyError where it is not one."""
        hashes = state["recent_hash"].astype(np.uint64)
        run = _Run(hashes, state["recent_place"].astype(np.int64), state["recent_time"].astype(np.int64))
        self._runs = [run] if len(run) else []

    def _close(self, hashes: Hashes) -> None:
        self._fresh.append(hashes)
        self._closed.append(hashes)
        # Few and long ones are quick to look through: a short one goes into the one before.
        while len(self._closed) > 1 and len(self._closed[-1]) + len(self._closed[-2]) <= MAX_CLOSED // 8:
            last = self._closed.pop()
            self._closed[-1] = np.sort(np.concatenate((self._closed[-1], last)))
        while len(self._closed) > 1 and sum(map(len, self._closed)) > MAX_CLOSED:
            self._closed.popleft()

    def _tidy(self) -> None:
        while len(self._runs) > 1 and len(self._runs[-2]) < _MERGE_BELOW * len(self._runs[-1]):
            self._runs[-2:] = [_merged(self._runs[-2:])]
        while len(self._runs) > 1 and len(self) > MAX_ROWS:
            del self._runs[0]


def _found(known: Hashes, hashes: Hashes) -> BoolArray:
    """Return which of the hashes are among the known ones, which are sorted and at least one."""
    found: BoolArray = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    return found


def _merged(runs: list[_Run]) -> _Run:
    if not runs:
        return _Run(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    hashes = np.concatenate([run.hash for run in runs])
    order = np.argsort(hashes, kind="stable")  # finds the sorted runs in it and merges them
    places, times = (np.concatenate([getattr(run, name) for run in runs]) for name in ("place", "time"))
    return _Run(hashes[order], places[order], times[order])


def _hash(place: IntArray, time_ms: IntArray, value: FloatArray) -> Hashes:
    """Return a hash a row: each of the three is stirred in by the finaliser of SplitMix64 (Steele et al., 2014)."""
    # 0.0 and -0.0 are one value and two bit patterns.
    columns = (place.view(np.uint64), time_ms.view(np.uint64), (value + 0.0).view(np.uint64))
    hashes = np.zeros(len(place), np.uint64)
    for column in columns:
        hashes = _stirred((hashes ^ column) + np.uint64(0x9E3779B97F4A7C15))
    return hashes


def _stirred(x: Hashes) -> Hashes:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
