"""Model of a Kinesis stream and of the event source mapping by which Lambda reads it.

Of the service: a record goes to the shard whose range has the MD5 hash of its partition key, and keeps its place there;
records older than the retention period are removed, read or not. Of the mapping: a shard is read by several pollers at
once, and the records of a partition key by one of them, in order; a batch is repeated until the function succeeds with
it, up to a number of attempts, and holds up those behind it. If the function reports failed records, those before the
first of them are done, and the batch continues with that one, so that records after it are delivered again. If the
function raises an error, the batch is bisected.
"""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Function = Callable[[dict[str, Any]], dict[str, Any] | None]


class Record(NamedTuple):
    """A record of a shard."""

    sequence: str
    partition_key: str
    data: bytes
    arrived_ms: int


@dataclass
class _Batch:
    records: list[Record]
    attempts: int = 0


@dataclass
class _Poller:
    """Records of some partition keys of a shard that were not read, and the batches that are in work, in order."""

    waiting: deque[Record] = field(default_factory=deque)
    batches: deque[_Batch] = field(default_factory=deque)


class Stream:
    """A stream with a mapping to a function; ``discarded`` are the records of batches that failed too often."""

    def __init__(
        self,
        shards: int,
        *,
        pollers: int = 10,
        batch_size: int = 20,
        retries: int = 10,
        retention_ms: int = 24 * 3_600_000,
    ) -> None:
        self._pollers = [[_Poller() for _ in range(pollers)] for _ in range(shards)]
        self._batch_size, self._retries, self._retention_ms = batch_size, retries, retention_ms
        self._next = 1
        self.discarded: list[Record] = []
        self.expired: list[Record] = []

    def put(self, partition_key: str, data: bytes, now_ms: int) -> None:
        """Append a record to the shard of its partition key."""
        digest = int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest())
        pollers = self._pollers[digest * len(self._pollers) >> 128]
        record = Record(f"{self._next:056d}", partition_key, data, now_ms)
        self._next += 1
        pollers[digest % len(pollers)].waiting.append(record)

    def poll(self, function: Function, now_ms: int) -> int:
        """Invoke the function once for each poller that has records; return the number of invocations."""
        invocations = 0
        for poller in (one for shard in self._pollers for one in shard):
            self._expire(poller, now_ms)
            if not poller.batches and poller.waiting:
                size = min(self._batch_size, len(poller.waiting))
                poller.batches.append(_Batch([poller.waiting.popleft() for _ in range(size)]))
            if poller.batches:
                invocations += 1
                self._invoke(poller, function)
        return invocations

    def iterator_age_ms(self, now_ms: int) -> int:
        """Return the age of the oldest record that is not done."""
        records = [record for shard in self._pollers for poller in shard for record in _open(poller)]
        return max((now_ms - record.arrived_ms for record in records), default=0)

    def _expire(self, poller: _Poller, now_ms: int) -> None:
        while poller.waiting and poller.waiting[0].arrived_ms <= now_ms - self._retention_ms:
            self.expired.append(poller.waiting.popleft())

    def _invoke(self, poller: _Poller, function: Function) -> None:
        batch = poller.batches.popleft()
        try:
            answer = function({"Records": [_event(record) for record in batch.records]})
        except Exception:  # noqa: BLE001 - any error of the function fails its batch
            half = len(batch.records) // 2
            parts = [batch.records[:half], batch.records[half:]] if half else [batch.records]
            self._repeat(poller, [_Batch(part, batch.attempts + 1) for part in parts])
            return
        names = {str(failure.get("itemIdentifier")) for failure in (answer or {}).get("batchItemFailures", [])}
        if not names:
            return
        sequences = [record.sequence for record in batch.records]
        # A name that is not in the batch fails the whole batch.
        first = min((sequences.index(name) if name in sequences else 0) for name in names)
        self._repeat(poller, [_Batch(batch.records[first:], batch.attempts + 1 if first == 0 else 1)])

    def _repeat(self, poller: _Poller, batches: list[_Batch]) -> None:
        for batch in reversed(batches):
            if batch.attempts > self._retries:
                self.discarded += batch.records
            else:
                poller.batches.appendleft(batch)


def _open(poller: _Poller) -> list[Record]:
    return [*(record for batch in poller.batches for record in batch.records), *poller.waiting]


def _event(record: Record) -> dict[str, Any]:
    return {
        "eventSource": "aws:kinesis",
        "eventID": f"shardId-000000000000:{record.sequence}",
        "kinesis": {
            "sequenceNumber": record.sequence,
            "partitionKey": record.partition_key,
            "data": base64.b64encode(record.data).decode(),
            "approximateArrivalTimestamp": record.arrived_ms / 1000,
        },
    }
