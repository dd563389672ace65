"""A table in memory that throttles as DynamoDB documents it; for benchmarks/cloud_fleet.py."""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from cloud_functions.core.batches import KIND
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import Item, Key, Value

PARTITION_UNITS = 1_000.0
BATCH_UNITS = 3
"""Write units of a batch of 600 rows with its entry in the index; the batches of the simulation are smaller."""
_WARM_S = 1_800
_TIMES = struct.Struct("<qq")


class ThrottlingTable:
    """The port of a table; writes above the limits of a second raise StoreError.

    ``units`` is the rate of writes that the table sustains at first. It doubles half an hour after half of it was used
    for the first time. Of a batch only its digest and times are kept, which is all that a repetition is compared with.
    """

    def __init__(self, now_s: Callable[[], float], units: float) -> None:
        self._now_s, self._units = now_s, units
        self._parts: dict[str, dict[str, Item | bytes]] = defaultdict(dict)
        self._batch: Item = {}
        self._second, self._used, self._by_partition = -1, 0.0, Counter[str]()
        self._high_since: int | None = None
        self.written: Counter[str] = Counter()
        """Successful writes by the first part of the partition key."""
        self.throttled = self.requests = 0
        self.most_units = 0.0

    def count(self, prefix: str) -> int:
        """Return the number of items whose partition key has the prefix."""
        return sum(len(part) for pk, part in self._parts.items() if pk.startswith(prefix))

    def limit(self, units: float) -> None:
        """Set the rate of writes that the table sustains, and begin to count."""
        self._units, self._used, self.most_units = units, 0.0, 0.0

    def total(self, name: str) -> int:
        """Return the sum of an amount over the received sequences of all epochs."""
        items = (item for part in self._parts.values() for item in part.values() if isinstance(item, dict))
        return sum(int(item.get(name, 0)) for item in items if item["kind"] == "ack")

    def get(self, key: Key) -> Item | None:
        """Return the item."""
        self.requests += 1
        return self._get(key)

    def _get(self, key: Key) -> Item | None:
        item = self._parts[key.pk].get(key.sk)
        if isinstance(item, bytes):
            received_ms, stored_ms = _TIMES.unpack_from(item, 16)
            times = {"received_ms": received_ms, "stored_ms": stored_ms}
            return {**self._batch, "pk": key.pk, "sk": key.sk, "digest": item[:16], **times}
        return None if item is None else dict(item)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return the items that exist."""
        self.requests += bool(keys)
        return {key: item for key in keys if (item := self._get(key)) is not None}

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items."""
        for at, item in enumerate(items):
            self.requests += at == 0
            self._write(item)

    def put_new(self, item: Item) -> Item | None:
        """Write the item if its key is free, else return the existing item; both consume write units."""
        self.requests += 1
        there = self._get(Key(str(item["pk"]), str(item["sk"])))
        if there is None:
            self._write(item)
        else:
            self._consume(item)
        return there

    def replace(self, item: Item, version: int) -> bool:
        """Write the item with the next version if the existing one has ``version``."""
        self.requests += 1
        there = self._parts[str(item["pk"])].get(str(item["sk"]))
        if (int(there["version"]) if isinstance(there, dict) else 0) != version:
            self._consume(item)
            return False
        self._write(item | {"version": version + 1})
        return True

    def delete(self, key: Key, version: int) -> bool:
        """Delete the item if it has ``version``."""
        item = self._parts[key.pk].get(key.sk)
        if not isinstance(item, dict) or item["version"] != version:
            return False
        del self._parts[key.pk][key.sk]
        return True

    def add(
        self, key: Key, amounts: Mapping[str, int], values: Mapping[str, Value], first: Mapping[str, Value]
    ) -> None:
        """Add to numbers and set values."""
        self.requests += 1
        fresh: Item = {**first, **(self._get(key) or {"pk": key.pk, "sk": key.sk}), **values}
        for name, amount in amounts.items():
            fresh[name] = int(fresh.get(name, 0)) + amount
        self._write(fresh)

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items of a range."""
        self.requests += 1
        for sk in sorted((sk for sk in self._parts[pk] if first <= sk <= last), reverse=newest_first):
            item = self._get(Key(pk, sk))
            if item is not None:
                yield item

    def query_index(
        self, index: str, value: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False
    ) -> Iterator[Item]:
        """Not part of the simulation: ingest reads no index."""
        raise NotImplementedError

    def _write(self, item: Item) -> None:
        self._consume(item)
        pk, sk = str(item["pk"]), str(item["sk"])
        self.written[pk.split("#")[0]] += 1
        if item["kind"] == KIND:
            self._batch = item
            digest = item["digest"]
            assert isinstance(digest, bytes)  # noqa: S101 - the storer wrote it
            self._parts[pk][sk] = digest + _TIMES.pack(int(item["received_ms"]), int(item["stored_ms"]))
        else:
            self._parts[pk][sk] = dict(item)

    def _consume(self, item: Item) -> None:
        pk, second = str(item["pk"]), int(self._now_s())
        if second != self._second:
            self.most_units = max(self.most_units, self._used)
            if self._high_since is None and self._used >= self._units / 2:
                self._high_since = second
            if self._high_since is not None and second >= self._high_since + _WARM_S:
                self._units, self._high_since = 2 * self._units, None
            self._second, self._used = second, 0.0
            self._by_partition.clear()
        units = BATCH_UNITS if item["kind"] == KIND else 1 + len(str(item.get("ranges", ""))) // 1024
        if self._used + units > self._units or self._by_partition[pk] + units > PARTITION_UNITS:
            self.throttled += 1
            raise StoreError("throttled")
        self._used += units
        self._by_partition[pk] += units
