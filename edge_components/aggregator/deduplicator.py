"""Deduplication of readings: those of open windows, and the most recent ones of closed windows. Pure, columnar.

Brokers and sensors repeat what may not have been received (QoS 1 is "at least once"). A repetition is recognised by
series, time and value. A repetition of a reading whose window is closed would be dropped as late anyway, but a late
reading is missing from the aggregates and a repetition is not: to count the two apart, the newest MAX_CLOSED hashes of
closed windows are kept too.

Rows are kept as 64-bit hashes, in sorted runs that get shorter from old to new (O'Neil et al., "The Log-Structured
Merge-Tree", 1996): a batch is searched in each run and becomes the newest, and runs of similar length are merged. So a
batch costs about its own size, not that of everything kept. With a million readings kept, one new reading in 10^13 is
taken for a repetition by chance.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.window_types import Arrays, BoolArray
from wire.model import FloatArray, IntArray

MAX_ROWS = 1_000_000
"""Above it the oldest runs are dropped: 24 MB."""

MAX_CLOSED = 65_536
"""Hashes kept of closed windows: 512 KB in memory, half of it in a snapshot."""

_MERGE_BELOW = 2
_CLOSED_RUN = MAX_CLOSED // 8
Hashes = npt.NDArray[np.uint64]
ShortHashes = npt.NDArray[np.uint32]
_Unsigned = TypeVar("_Unsigned", np.uint64, np.uint32)


@dataclass(slots=True)
class _Run:
    """Rows in the order of their hash."""

    hash: Hashes
    series_id: IntArray
    time: IntArray

    def __len__(self) -> int:
        return len(self.hash)

    def select(self, mask: BoolArray) -> _Run:
        return _Run(self.hash[mask], self.series_id[mask], self.time[mask])


class Deduplicator:
    """Readings that were accepted, of windows that are open or were closed recently."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._closed: deque[ShortHashes] = deque()

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(
        self,
        series_id: IntArray,
        seed: Hashes,
        time_ms: IntArray,
        value: FloatArray,
        late: BoolArray | None = None,
    ) -> BoolArray:
        """Add rows and return a mask of those that repeat an earlier one, of this batch or another.

        ``seed`` is the key of each row's series, which outlives its id (see SeriesRegistry.seed). ``late`` marks rows
        of closed windows: only these are searched among the short hashes, too short to decide on a row that counts.
        """
        hashes = _hash(seed, time_ms, value)
        # Stable: of equal rows the one that came first stays first. A search for sorted hashes reads memory in order.
        order = np.argsort(hashes, kind="stable")
        in_order = hashes[order]
        known = np.append(False, in_order[1:] == in_order[:-1]) if len(in_order) else np.zeros(0, np.bool_)
        for run in self._runs:
            known |= _found(run.hash, in_order)
        if self._closed and late is not None and late.any():
            rows = np.flatnonzero(late[order])
            short = _shortened(in_order[rows])
            for closed in self._closed:
                known[rows] |= _found(closed, short)
        repeated = np.zeros(len(hashes), np.bool_)
        repeated[order] = known
        new = order[~known]
        if len(new):
            self._runs.append(_Run(hashes[new], series_id[new], time_ms[new]))
            self._merge()
        return repeated

    def close_before(self, closed_ms: IntArray) -> None:
        """Reduce rows before each series' ``closed_ms`` to a short hash: new ones would be late there."""
        kept = []
        for run in self._runs:
            still = run.time >= closed_ms[run.series_id]
            if still.all():
                kept.append(run)
                continue
            self._close(run.hash[~still])
            if still.any():
                kept.append(run.select(still))
        self._runs = kept
        self._merge()

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        whole = _merged(self._runs)
        closed = np.concatenate(self._closed) if self._closed else np.zeros(0, np.uint32)
        return {
            "rows_hash": whole.hash,
            "rows_series_id": whole.series_id,
            "rows_time": whole.time,
            "closed_hash": closed,
            "closed_runs": np.array([len(run) for run in self._closed], np.int64),
        }

    def restore(self, state: Arrays) -> None:
        """Continue from :meth:`state`; raises KeyError for other arrays."""
        hashes = state["rows_hash"].astype(np.uint64)
        run = _Run(hashes, state["rows_series_id"].astype(np.int64), state["rows_time"].astype(np.int64))
        self._runs = [run] if len(run) else []
        ends = np.cumsum(state["closed_runs"].astype(np.int64))
        self._closed = deque(part for part in np.split(state["closed_hash"].astype(np.uint32), ends) if len(part))

    def remember_closed(self, hashes: Hashes) -> None:
        """Add hashes of readings whose windows were closed by a former process."""
        for start in range(0, len(hashes), _CLOSED_RUN):
            self._close(hashes[start : start + _CLOSED_RUN])

    def _close(self, hashes: Hashes) -> None:
        self._closed.append(np.sort(_shortened(hashes)))
        # Few and long runs are quick to search: a short one is merged with the one before.
        while len(self._closed) > 1 and len(self._closed[-1]) + len(self._closed[-2]) <= _CLOSED_RUN:
            last = self._closed.pop()
            self._closed[-1] = np.sort(np.concatenate((self._closed[-1], last)), kind="stable")
        while len(self._closed) > 1 and sum(map(len, self._closed)) > MAX_CLOSED:
            self._closed.popleft()

    def _merge(self) -> None:
        while len(self._runs) > 1 and len(self._runs[-2]) < _MERGE_BELOW * len(self._runs[-1]):
            self._runs[-2:] = [_merged(self._runs[-2:])]
        while len(self._runs) > 1 and len(self) > MAX_ROWS:
            del self._runs[0]


def _found(known: npt.NDArray[_Unsigned], hashes: npt.NDArray[_Unsigned]) -> BoolArray:
    """Return a mask of the hashes that are among the known ones, which are sorted and at least one."""
    found: BoolArray = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    return found


def _shortened(hashes: Hashes) -> ShortHashes:
    """Return the upper half of each hash: a late reading is then counted as a repetition once in 65,000 times."""
    return (hashes >> np.uint64(32)).astype(np.uint32)


def _merged(runs: list[_Run]) -> _Run:
    if not runs:
        return _Run(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    hashes = np.concatenate([run.hash for run in runs])
    order = np.argsort(hashes, kind="stable")  # a radix or merge sort, quick on sorted runs
    series_ids, times = (np.concatenate([getattr(run, name) for run in runs]) for name in ("series_id", "time"))
    return _Run(hashes[order], series_ids[order], times[order])


def _hash(seed: Hashes, time_ms: IntArray, value: FloatArray) -> Hashes:
    """Return a hash a row: each of the three is mixed in by the finaliser of SplitMix64 (Steele et al., 2014)."""
    # 0.0 and -0.0 are one value and two bit patterns.
    columns = (seed, time_ms.view(np.uint64), (value + 0.0).view(np.uint64))
    hashes = np.zeros(len(seed), np.uint64)
    for column in columns:
        hashes = _mixed((hashes ^ column) + np.uint64(0x9E3779B97F4A7C15))
    return hashes


def _mixed(x: Hashes) -> Hashes:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
