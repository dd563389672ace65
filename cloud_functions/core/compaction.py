"""Compaction: each hour of stored batches becomes roll-ups and one archive file for many gateways.

The planner lists tasks; a task compacts one hour of one shard of gateways, or merges the hours of a day. Every task is
idempotent: roll-ups and archive files are derived from the rows and replaced as a whole. A lease keeps two workers from
one task, and is longer than a function may run, so that no worker that lost its lease is still writing. A task
whose worker fails is not done, and the next plan lists it again.

A batch that arrives after its hour was compacted leaves an entry (see :mod:`cloud_functions.core.hours`) that reopens
the hour of its gateway: the rows in the archive and those of the stored batches are merged, since the batches that the
archive was made from may have expired. The entry is deleted only if no other late batch renewed it meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from cloud_functions.core import keys, rollup
from cloud_functions.core.arrival import write_envelope
from cloud_functions.core.batches import StoredBatch, UnreadableBatchError, overlapping, rows_of
from cloud_functions.core.columns import merge
from cloud_functions.core.errors import CloudError, Reason
from cloud_functions.core.gateways import names
from cloud_functions.core.hours import GRACE_MS, hour_of
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import Archive, ArchiveFile, DeadLetterSink, Item, Key, NowMs, Table
from wire.codec import Profiles
from wire.model import Aggregates

DAY_MS = 24 * HOUR_MS
LEASE_MS = 16 * 60_000
"""Longer than the longest run of a function (15 minutes)."""
DAY_AFTER_MS = 6 * HOUR_MS
"""Time after the end of a day at which its hours are merged; batches that are later reopen the day's file."""
MAX_PLANNED_HOURS = 48
MAX_MERGED_BYTES = 256_000_000
"""Largest sum of a day's files that are merged; larger ones are efficient to read as they are."""
_DAYS_BACK = 7
_LOG = logging.getLogger(__name__)


class Kind(StrEnum):
    """Kind of a task."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """Compaction of the hour, or of the day, that begins at ``start_ms``, of one shard of gateways."""

    kind: Kind
    start_ms: int
    shard: int

    def encode(self) -> str:
        """Return the task as JSON text."""
        return json.dumps({"kind": str(self.kind), "start_ms": self.start_ms, "shard": self.shard})

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the task of a JSON text; raises CloudError."""
        try:
            fields = json.loads(text)
            return cls(Kind(fields["kind"]), int(fields["start_ms"]), int(fields["shard"]))
        except (ValueError, TypeError, KeyError) as error:
            raise CloudError(f"{text[:100]!r}: not a task of the compaction") from error

    @property
    def key(self) -> Key:
        """The key of the task's state."""
        return Key(f"compaction#{keys.time(self.start_ms)}", f"{self.kind}#{self.shard:04d}")


class Outcome(StrEnum):
    """Result of a task."""

    DONE = "done"
    BUSY = "busy"
    """Another worker has the lease."""


class Planner:
    """Lists the tasks to run; ``shards`` is the number of shards of hours that are not yet compacted."""

    def __init__(self, table: Table, now_ms: NowMs, shards: int) -> None:
        self._table, self._now_ms, self._shards = table, now_ms, shards

    def plan(self) -> list[Task]:
        """Return the tasks of ended hours, of reopened hours and of ended days that are not done, oldest first."""
        now_ms = self._now_ms()
        progress = self._table.get(_PROGRESS) or _progress(hour_of(now_ms) - HOUR_MS) | {"version": 0}
        next_ms, tasks = int(progress["next_ms"]), set[Task]()
        hour_ms, all_done = next_ms, True
        while hour_ms + HOUR_MS + GRACE_MS <= now_ms and hour_ms < next_ms + MAX_PLANNED_HOURS * HOUR_MS:
            missing = self._missing(Kind.HOUR, hour_ms, hour_ms)
            tasks.update(missing)
            hour_ms += HOUR_MS
            all_done = all_done and not missing
            if all_done:
                next_ms = hour_ms
        if next_ms != int(progress["next_ms"]) or not progress["version"]:
            # If another planner was faster this one's progress is not needed.
            self._table.replace({**progress, "next_ms": next_ms}, int(progress["version"]))
        tasks.update(self._reopened(next_ms))
        tasks.update(self._days(int(progress["first_ms"]), next_ms, now_ms))
        return sorted(tasks, key=lambda task: (task.start_ms, task))

    def _missing(self, kind: Kind, start_ms: int, hour_ms: int) -> list[Task]:
        tasks = [Task(kind, start_ms, shard) for shard in range(shards_of(self._table, hour_ms, self._shards))]
        return [task for task in tasks if not (self._table.get(task.key) or {}).get("done")]

    def _reopened(self, next_ms: int) -> Iterator[Task]:
        """Yield the tasks of hours before ``next_ms`` that received late batches."""
        shards: dict[int, int] = {}
        for bucket in range(keys.BUCKETS):
            for item in self._table.query(keys.reopened(bucket), "", keys.time(max(next_ms - 1, 0))):
                hour_ms, gateway = _reopened_of(item)
                if hour_ms not in shards:
                    shards[hour_ms] = shards_of(self._table, hour_ms, self._shards)
                yield Task(Kind.HOUR, hour_ms, shard_of(gateway, shards[hour_ms]))

    def _days(self, first_ms: int, next_ms: int, now_ms: int) -> Iterator[Task]:
        """Yield the merges of the last days."""
        for back in range(_DAYS_BACK, 0, -1):
            day_ms = now_ms // DAY_MS * DAY_MS - back * DAY_MS
            if first_ms < day_ms + DAY_MS <= next_ms and day_ms + DAY_MS + DAY_AFTER_MS <= now_ms:
                yield from self._missing(Kind.DAY, day_ms, day_ms)


class Compactor:
    """Runs tasks. ``owner`` identifies the worker in leases; ``rollup_ms`` is the time that a roll-up is kept."""

    def __init__(
        self,
        table: Table,
        archive: Archive,
        profiles: Profiles,
        dead_letters: DeadLetterSink,
        now_ms: NowMs,
        rollup_ms: int,
        owner: Callable[[], str],
    ) -> None:
        self._table, self._archive, self._profiles = table, archive, profiles
        self._dead_letters, self._now_ms, self._rollup_ms, self._owner = dead_letters, now_ms, rollup_ms, owner
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
            **_key_item(task.key),
            "kind": "compaction",
            "done": int(state.get("done", 0)),
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
            entries = dict[Key, int]()
            if task.kind is Kind.HOUR:
                # Read once more under the lease; the batch of an entry is stored before it.
                entries = self._entries(task)
                self._compact_hour(task, entries, first=not state.get("done"))
            else:
                self._merge_day(task)
        except CloudError:
            self._table.replace(free, version + 1)
            raise
        self._table.replace(free | {"done": 1}, version + 1)
        for key, entry in entries.items():
            self._table.delete(key, entry)
        return Outcome.DONE

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
                if shard_of(_reopened_of(item)[1], shards) == task.shard:
                    found[Key(str(item["pk"]), str(item["sk"]))] = int(item["version"])
        return found

    def _compact_hour(self, task: Task, reopened: dict[Key, int], *, first: bool) -> None:
        shards = shards_of(self._table, task.start_ms, 1)
        wanted = {key.sk.split("#", 1)[1] for key in reopened}
        if first:
            wanted |= {name for name in names(self._table) if shard_of(name, shards) == task.shard}
        file = ArchiveFile(_day_file(task).day_ms, task.start_ms % DAY_MS // HOUR_MS, task.shard)
        merged = _day_file(task)
        if self._archive.exists(merged):
            file = merged
        self._archive.replace(file, self._rows(task, wanted, file if self._archive.exists(file) else None))

    def _rows(self, task: Task, wanted: set[str], old: ArchiveFile | None) -> Iterator[tuple[str, Aggregates]]:
        """Yield the rows of the new file by gateway: those of the old one, merged for the wanted gateways."""
        waiting = sorted(wanted)
        for gateway, rows in self._archive.rows(old) if old is not None else ():
            while waiting and waiting[0] < gateway:
                yield from self._gateway(task, waiting.pop(0), None)
            if waiting and waiting[0] == gateway:
                yield from self._gateway(task, waiting.pop(0), rows)
            else:
                yield gateway, rows
        for gateway in waiting:
            yield from self._gateway(task, gateway, None)

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
        self._table.put_new({**_key_item(name), "kind": "unreadable", "expires_at": expires_at})

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


def _by_gateway(files: list[Iterator[tuple[str, Aggregates]]]) -> Iterator[tuple[str, Aggregates]]:
    merged = heapq.merge(*files, key=lambda entry: entry[0])
    for gateway, entries in itertools.groupby(merged, key=lambda entry: entry[0]):
        yield gateway, merge(rows for _, rows in entries)


def _day_file(task: Task, *, staging: bool = False) -> ArchiveFile:
    return ArchiveFile(task.start_ms // DAY_MS * DAY_MS, None, task.shard, staging)


_PROGRESS = Key("compaction", "progress")


def shard_of(gateway: str, shards: int) -> int:
    """Return the shard of a gateway."""
    return keys.bucket(gateway, shards)


def shards_of(table: Table, hour_ms: int, shards: int) -> int:
    """Return the number of shards of an hour's day, which is fixed by the first task of the day."""
    day_ms = hour_ms // DAY_MS * DAY_MS
    item: Item = {"pk": f"compaction#{keys.time(day_ms)}", "sk": "shards", "kind": "shards", "shards": shards}
    there = table.get(Key(str(item["pk"]), "shards")) or table.put_new(item) or item
    return int(there["shards"])


def _key_item(key: Key) -> Item:
    return {"pk": key.pk, "sk": key.sk}


def _progress(next_ms: int) -> Item:
    return {**_key_item(_PROGRESS), "kind": "progress", "next_ms": next_ms, "first_ms": next_ms}


def _reopened_of(item: Item) -> tuple[int, str]:
    hour, gateway = str(item["sk"]).split("#", 1)
    return int(hour), gateway
