"""Compaction: each hour of stored batches becomes roll-ups and one archive file for many gateways.

Every task is idempotent: roll-ups and archive files are derived from the rows and replaced as a whole. A lease keeps
two workers from one task, and is longer than a function may run, so that no worker that lost its lease is still
writing. A task that does not end in the time of a function writes a file of the gateways that it finished, and
continues after them in its next run.

A batch that arrives after its hour was compacted leaves an entry (see :mod:`cloud_functions.core.hours`) that reopens
the hour of its gateway: the rows in the archive and those of the stored batches are merged, since the batches that the
archive was made from may have expired. The entry is deleted only if no other late batch renewed it meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from cloud_functions.core import keys, rollup
from cloud_functions.core.arrival import write_envelope
from cloud_functions.core.batch_rows import UnreadableBatchError, rows_of
from cloud_functions.core.batches import StoredBatch, overlapping
from cloud_functions.core.columns import merge
from cloud_functions.core.compaction_plan import DAY_MS, Kind, Task, key_item, reopened_of, shard_of, shards_of
from cloud_functions.core.errors import CloudError, Reason
from cloud_functions.core.gateways import names
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import Archive, ArchiveFile, DeadLetterSink, Item, Key, NowMs, Table
from wire.codec import Profiles
from wire.model import Aggregates

LEASE_MS = 16 * 60_000
"""Longer than the longest run of a function (15 minutes)."""
RESERVED_MS = 180_000
"""Time of a function that is reserved for writing the archive file; then no further gateway is begun."""
MAX_MERGED_BYTES = 256_000_000
"""Largest sum of a day's files that are merged; larger ones are efficient to read as they are."""
_LOG = logging.getLogger(__name__)


class Outcome(StrEnum):
    """Result of a task."""

    DONE = "done"
    BUSY = "busy"
    """Another worker has the lease."""
    PARTIAL = "partial"
    """The time was not sufficient; the next run continues."""


@dataclass(frozen=True, slots=True)
class _Work:
    """Work of a run: what it changes in the task's state, and the entries of reopened hours that are settled."""

    outcome: Outcome
    progress: Item
    entries: dict[Key, int]


class Compactor:
    """Runs tasks. ``owner`` identifies the worker in leases; ``rollup_ms`` is the time that a roll-up is
    kept. ``left_ms`` returns the time that is left to the function.
    """

    def __init__(
        self,
        table: Table,
        archive: Archive,
        profiles: Profiles,
        dead_letters: DeadLetterSink,
        now_ms: NowMs,
        rollup_ms: int,
        owner: Callable[[], str],
        left_ms: Callable[[], int] = lambda: LEASE_MS,
    ) -> None:
        self._table, self._archive, self._profiles = table, archive, profiles
        self._dead_letters, self._now_ms, self._rollup_ms, self._owner = dead_letters, now_ms, rollup_ms, owner
        self._left_ms = left_ms
        self.counts: Counter[str] = Counter()
        """Hours of gateways, rows, batches and unreadable batches that were compacted."""

    def run(self, task: Task) -> Outcome:
        """Run a task; a task that is done already and has no reopened hour changes nothing. Raises StoreError."""
        state = self._table.get(task.key) or {"version": 0, "lease_ms": 0, "done": 0}
        reopened = self._entries(task) if task.kind is Kind.HOUR else {}
        if state.get("done") and not reopened:
            return Outcome.DONE
        if int(state["lease_ms"]) > self._now_ms():
            return Outcome.BUSY
        version = int(state["version"])
        lease: Item = {
            **key_item(task.key),
            "kind": "compaction",
            "done": int(state.get("done", 0)),
            "after": str(state.get("after", "")),
            "lease_ms": self._now_ms() + LEASE_MS,
            "owner": self._owner(),
        }
        if not self._table.replace(lease, version):
            return Outcome.BUSY
        free = lease | {"lease_ms": 0}
        try:
            if self._is_blocked(task):
                self._table.replace(free, version + 1)
                return Outcome.BUSY
            work = self._merge(task) if task.kind is Kind.DAY else self._compact(task, lease)
        except CloudError:
            self._table.replace(free, version + 1)
            raise
        self._table.replace(free | work.progress, version + 1)
        for key, entry in work.entries.items():
            self._table.delete(key, entry)
        return work.outcome

    def _merge(self, task: Task) -> _Work:
        self._merge_day(task)
        return _Work(Outcome.DONE, {"done": 1}, {})

    def _compact(self, task: Task, state: Item) -> _Work:
        """Compact an hour: of all gateways, or of those that reopened it if it was done before."""
        # Read once more under the lease; the batch of an entry is stored before it.
        entries = self._entries(task)
        wanted = {reopened_of(key)[1] for key in entries}
        if not state["done"]:
            wanted |= self._gateways_after(task, str(state["after"]))
        left = self._compact_hour(task, sorted(wanted))
        finished = wanted - set(left)
        entries = {key: entry for key, entry in entries.items() if reopened_of(key)[1] in finished}
        if not left:
            return _Work(Outcome.DONE, {"done": 1, "after": ""}, entries)
        progress: Item = {} if state["done"] else {"after": max(finished | {str(state["after"])})}
        return _Work(Outcome.PARTIAL, progress, entries)

    def _is_blocked(self, task: Task) -> bool:
        """Return True if a worker merges the task's day, or, for a merge, compacts one of its hours.

        Both take their lease before they look for the other's. A merge that a crash interrupted must be finished first.
        """
        day_ms = task.start_ms // DAY_MS * DAY_MS
        if task.kind is Kind.HOUR:
            others = [Task(Kind.DAY, day_ms, task.shard)]
            if self._archive.exists(_day_file(task, staging=True)):
                return True
        else:
            others = [Task(Kind.HOUR, day_ms + hour * HOUR_MS, task.shard) for hour in range(24)]
        states = [self._table.get(other.key) or {} for other in others]
        return any(int(state.get("lease_ms", 0)) > self._now_ms() for state in states)

    def _entries(self, task: Task) -> dict[Key, int]:
        """Return the entries that reopen the task's hour, with their versions."""
        shards, found = shards_of(self._table, task.start_ms, 1), {}
        prefix = f"{keys.time(task.start_ms)}#"
        for bucket in range(keys.BUCKETS):
            for item in self._table.query(keys.reopened(bucket), prefix, prefix + "\x7f"):
                key = Key(str(item["pk"]), str(item["sk"]))
                if shard_of(reopened_of(key)[1], shards) == task.shard:
                    found[key] = int(item["version"])
        return found

    def _gateways_after(self, task: Task, after: str) -> set[str]:
        """Return the gateways of the task's shard whose names follow ``after``."""
        shards = shards_of(self._table, task.start_ms, 1)
        return {name for name in names(self._table) if name > after and shard_of(name, shards) == task.shard}

    def _compact_hour(self, task: Task, wanted: list[str]) -> list[str]:
        """Write roll-ups and file of an hour; return those of the ``wanted`` gateways for which no time was left."""
        file = ArchiveFile(_day_file(task).day_ms, task.start_ms % DAY_MS // HOUR_MS, task.shard)
        merged = _day_file(task)
        if self._archive.exists(merged):
            file = merged
        waiting = _Waiting(wanted, self._left_ms)
        self._archive.replace(file, self._rows(task, waiting, file if self._archive.exists(file) else None))
        return waiting.left

    def _rows(self, task: Task, waiting: _Waiting, old: ArchiveFile | None) -> Iterator[tuple[str, Aggregates]]:
        """Yield the rows of the new file by gateway: those of the old one, merged for the ``waiting`` gateways."""
        for gateway, rows in self._archive.rows(old) if old is not None else ():
            while (name := waiting.take(gateway)) is not None and name != gateway:
                yield from self._gateway(task, name, None)
            if name is None:
                yield gateway, rows
            else:
                yield from self._gateway(task, gateway, rows)
        while (name := waiting.take()) is not None:
            yield from self._gateway(task, name, None)

    def _gateway(self, task: Task, gateway: str, old: Aggregates | None) -> Iterator[tuple[str, Aggregates]]:
        """Store the roll-up of a gateway's hour and yield its rows, with those of other hours in the old file."""
        hour_ms = task.start_ms
        parts = [old] if old is not None else []
        for batch in sorted(
            overlapping(self._table, gateway, hour_ms, hour_ms + HOUR_MS), key=lambda batch: batch.received_ms
        ):
            try:
                parts.append(rows_of(batch, self._profiles))
                self.counts["batches"] += 1
            except UnreadableBatchError as error:
                self._send_dead_letter(batch, error)
        rows, hourly = rollup.of_hour(parts, hour_ms)
        if len(rows):
            expires_at = (self._now_ms() + self._rollup_ms) // 1000
            self._table.put_many([rollup.to_item(gateway, hour_ms, hourly, len(rows), expires_at)])
            self.counts["hours"] += 1
            self.counts["rows"] += len(rows)
        if old is not None:
            before, after = rollup.within(old, 0, hour_ms), rollup.within(old, hour_ms + HOUR_MS, keys.MAX_TIME_MS + 1)
            rows = merge([before, rows, after])
        if len(rows):
            yield gateway, rows

    def _send_dead_letter(self, batch: StoredBatch, error: UnreadableBatchError) -> None:
        """Keep an unreadable batch as a dead letter; once, unless the function fails in between."""
        self.counts["unreadable"] += 1
        name = Key(f"unreadable#{batch.gateway}", keys.batch_name(batch.epoch, batch.sequence))
        if self._table.get(name) is not None:
            return
        _LOG.error("compaction: %s", error)
        body = write_envelope(batch.data, batch.gateway, batch.lane, batch.received_ms, client="")
        attributes = {"reason": str(Reason.CODEC), "detail": str(error)[:1000], "gateway": batch.gateway}
        self._dead_letters.keep(body, attributes)
        expires_at = (self._now_ms() + self._rollup_ms) // 1000
        self._table.put_new({**key_item(name), "kind": "unreadable", "expires_at": expires_at})

    def _merge_day(self, task: Task) -> None:
        """Merge the files of a day's hours into one, unless they are large; reopened hours then go into that file.

        The merged file is written under another name, and takes its place after the files of the hours are removed: a
        reader never sees a row twice, and misses the day for a moment. A repetition after a crash finishes the work.
        """
        staging, day = _day_file(task, staging=True), _day_file(task)
        hours = [ArchiveFile(day.day_ms, hour, task.shard) for hour in range(24)]
        if not self._archive.exists(staging):
            found = [file for file in hours if self._archive.exists(file)]
            if not found or sum(map(self._archive.size, found)) > MAX_MERGED_BYTES:
                return
            self._archive.replace(staging, _by_gateway([self._archive.rows(file) for file in found]))
        for file in hours:
            self._archive.remove(file)
        self._archive.rename(staging, day)


class _Waiting:
    """The gateways that a run is to compact, in order; those for which no time is left end in ``left``."""

    def __init__(self, gateways: list[str], left_ms: Callable[[], int]) -> None:
        self._gateways, self._left_ms, self._begun = deque(gateways), left_ms, False
        self.left: list[str] = []

    def take(self, last: str | None = None) -> str | None:
        """Return the next gateway if it does not follow ``last`` and time is left; the first one is always taken."""
        if self._begun and self._gateways and self._left_ms() < RESERVED_MS:
            self.left = list(self._gateways)
            self._gateways.clear()
        if not self._gateways or (last is not None and self._gateways[0] > last):
            return None
        self._begun = True
        return self._gateways.popleft()


def _by_gateway(files: list[Iterator[tuple[str, Aggregates]]]) -> Iterator[tuple[str, Aggregates]]:
    merged = heapq.merge(*files, key=lambda entry: entry[0])
    for gateway, entries in itertools.groupby(merged, key=lambda entry: entry[0]):
        yield gateway, merge(rows for _, rows in entries)


def _day_file(task: Task, *, staging: bool = False) -> ArchiveFile:
    return ArchiveFile(task.start_ms // DAY_MS * DAY_MS, None, task.shard, staging)
