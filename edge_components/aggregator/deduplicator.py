"""Deduplication of readings: those of open windows, and the most recent ones of closed windows. Pure, columnar.

Brokers and sensors repeat what may not have been received (QoS 1 is "at least once"). A repetition is recognised by
series, time and value. Readings of closed windows are reduced to their hash at each clean-up, and the newest MAX_CLOSED
hashes are kept: a late reading corrects a window only while the readings that the window has are known. Clean-ups are
numbered (``tag``), and ``forgotten`` is the number of the last one whose hashes are removed.

Rows are kept as 64-bit hashes, in sorted runs that get shorter from old to new (O'Neil et al., "The Log-Structured
Merge-Tree", 1996): a batch is searched in each run and becomes the newest, and runs of similar length are merged. So a
batch costs about its own size, not that of everything kept. With a million readings kept, one new reading in 10^13 is
treated as a repetition by chance.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.window_types import Arrays, BoolArray
from wire.model import FloatArray, IntArray

MAX_ROWS = 1_000_000
"""Above it the oldest runs are dropped: 24 MB."""

MAX_CLOSED = 65_536
"""Maximum number of hashes of closed windows (512 KB)."""

_MERGE_BELOW = 2
_CLOSED_RUN = MAX_CLOSED // 8
Hashes = npt.NDArray[np.uint64]


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


@dataclass(frozen=True, slots=True)
class _ClosedRun:
    """Sorted hashes of closed windows, up to those of the clean-up ``tag``."""

    hash: Hashes
    tag: int


class Deduplicator:
    """Readings that were accepted, of windows that are open or were closed recently."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._closed: deque[_ClosedRun] = deque()
        self.tag = 1
        """Number of the next clean-up."""
        self.forgotten = 0
        """Number of the last clean-up whose hashes are discarded."""

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

        ``seed`` is the key of each row's series, which outlives its id (see SeriesTable.seed). ``late`` marks rows
        of closed windows: only these are searched among the hashes of closed windows.
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
            for closed in self._closed:
                known[rows] |= _found(closed.hash, in_order[rows])
        repeated = np.zeros(len(hashes), np.bool_)
        repeated[order] = known
        new = order[~known]
        if len(new):
            self._runs.append(_Run(hashes[new], series_id[new], time_ms[new]))
            self._merge()
        return repeated

    def close_before(self, closed_ms: IntArray) -> None:
        """Reduce rows before each series' ``closed_ms`` to their hash: new ones would be late there."""
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
        self.tag += 1
        self._merge()

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        whole = _merged(self._runs)
        closed = np.concatenate([run.hash for run in self._closed]) if self._closed else np.zeros(0, np.uint64)
        return {
            "rows_hash": whole.hash,
            "rows_series_id": whole.series_id,
            "rows_time": whole.time,
            "closed_hash64": closed,
            "closed_runs": np.array([len(run.hash) for run in self._closed], np.int64),
            "closed_tags": np.array([run.tag for run in self._closed], np.int64),
            "closed_tag": np.array([self.tag, self.forgotten], np.int64),
        }

    def restore(self, state: Arrays) -> None:
        """Continue from :meth:`state`; raises KeyError or ValueError for other arrays.

        The first version had hashes of 32 bits for closed windows, which are too short to drop a reading for.
        """
        hashes = state["rows_hash"].astype(np.uint64)
        run = _Run(hashes, state["rows_series_id"].astype(np.int64), state["rows_time"].astype(np.int64))
        self._runs = [run] if len(run) else []
        self._closed.clear()
        if "closed_hash64" not in state:
            return
        ends = np.cumsum(state["closed_runs"].astype(np.int64))[:-1]
        parts = np.split(state["closed_hash64"].astype(np.uint64), ends)
        tags = state["closed_tags"].astype(np.int64).tolist()
        if tags:
            self._closed.extend(_ClosedRun(part, tag) for part, tag in zip(parts, tags, strict=True))
        self.tag, self.forgotten = state["closed_tag"].astype(np.int64).tolist()

    def remember_closed(self, hashes: Hashes) -> None:
        """Add hashes of readings whose windows were closed by an earlier process."""
        for start in range(0, len(hashes), _CLOSED_RUN):
            self._close(hashes[start : start + _CLOSED_RUN])

    def _close(self, hashes: Hashes) -> None:
        self._closed.append(_ClosedRun(np.sort(hashes), self.tag))
        # A few long runs are searched faster than many short ones, so a short one is merged with its predecessor.
        while len(self._closed) > 1 and len(self._closed[-1].hash) + len(self._closed[-2].hash) <= _CLOSED_RUN:
            last, before = self._closed.pop(), self._closed.pop()
            both = np.sort(np.concatenate((before.hash, last.hash)), kind="stable")
            self._closed.append(_ClosedRun(both, last.tag))
        while len(self._closed) > 1 and sum(len(run.hash) for run in self._closed) > MAX_CLOSED:
            self.forgotten = self._closed.popleft().tag

    def _merge(self) -> None:
        while len(self._runs) > 1 and len(self._runs[-2]) < _MERGE_BELOW * len(self._runs[-1]):
            self._runs[-2:] = [_merged(self._runs[-2:])]
        while len(self._runs) > 1 and len(self) > MAX_ROWS:
            del self._runs[0]
            self.forgotten = self.tag


def _found(known: Hashes, hashes: Hashes) -> BoolArray:
    """Return a mask of the hashes that are among the known ones, which are sorted and at least one."""
    found: BoolArray = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    return found


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
