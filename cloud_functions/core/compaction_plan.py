"""Tasks of the compaction, their states in the table, and the planner that lists those to run.

A task compacts one hour of one shard of gateways, or merges the hours of a day. It is done when its state in the table
is; a worker that fails leaves a task that is not done, and the next plan lists it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from cloud_functions.core import keys
from cloud_functions.core.errors import CloudError
from cloud_functions.core.hours import GRACE_MS, hour_of
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import Item, Key, NowMs, Table

DAY_MS = 24 * HOUR_MS
DAY_AFTER_MS = 6 * HOUR_MS
"""Time after the end of a day at which its hours are merged; batches that are later reopen the day's file."""
MAX_PLANNED_HOURS = 48
_DAYS_BACK = 7


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
                hour_ms, gateway = reopened_of(Key(str(item["pk"]), str(item["sk"])))
                if hour_ms not in shards:
                    shards[hour_ms] = shards_of(self._table, hour_ms, self._shards)
                yield Task(Kind.HOUR, hour_ms, shard_of(gateway, shards[hour_ms]))

    def _days(self, first_ms: int, next_ms: int, now_ms: int) -> Iterator[Task]:
        """Yield the merges of the last days."""
        for back in range(_DAYS_BACK, 0, -1):
            day_ms = now_ms // DAY_MS * DAY_MS - back * DAY_MS
            if first_ms < day_ms + DAY_MS <= next_ms and day_ms + DAY_MS + DAY_AFTER_MS <= now_ms:
                yield from self._missing(Kind.DAY, day_ms, day_ms)


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


def stored_shards(table: Table, day_ms: int) -> int | None:
    """Return the number of shards of a day, or None if no hour of it was compacted."""
    item = table.get(Key(f"compaction#{keys.time(day_ms)}", "shards"))
    return None if item is None else int(item["shards"])


def key_item(key: Key) -> Item:
    """Return the attributes of an item that are its key."""
    return {"pk": key.pk, "sk": key.sk}


def _progress(next_ms: int) -> Item:
    return {**key_item(_PROGRESS), "kind": "progress", "next_ms": next_ms, "first_ms": next_ms}


def reopened_of(key: Key) -> tuple[int, str]:
    """Return the hour and the gateway of an entry that reopens an hour."""
    hour, gateway = key.sk.split("#", 1)
    return int(hour), gateway
