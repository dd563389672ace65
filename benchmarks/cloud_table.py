"""A table in memory that throttles as DynamoDB documents it; for benchmarks/cloud_fleet.py."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from cloud_functions.adapters.dynamodb import INDEXES
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import Item, Key, Value

PARTITION_UNITS = 1_000.0
_WARM_S = 1_800


class ThrottlingTable:
    """The port of a table; writes above the limits of a second raise StoreError.

    ``units`` is what the table sustains at first. It doubles after half an hour in which half of it was used.
    """

    errors = (StoreError,)

    def __init__(self, now_s: Callable[[], float], units: float) -> None:
        self._now_s, self._units = now_s, units
        self._parts: dict[str, dict[str, Item]] = defaultdict(dict)
        self._second, self._used, self._by_partition = -1, 0.0, Counter[str]()
        self._warm_until_s, self._written = 0.0, Counter[str]()

    def count(self, prefix: str) -> int:
        """Return the number of items whose partition key has the prefix."""
        return sum(len(part) for pk, part in self._parts.items() if pk.startswith(prefix))

    def written(self, prefix: str) -> int:
        """Return the number of successful writes of such items."""
        return self._written[prefix.split("#")[0]]

    def get(self, key: Key) -> Item | None:
        """Return the item."""
        item = self._parts[key.pk].get(key.sk)
        return None if item is None else dict(item)

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items."""
        for item in items:
            self._write(item)

    def put_new(self, item: Item) -> Item | None:
        """Write the item if its key is free, else return the existing item."""
        there = self.get(Key(str(item["pk"]), str(item["sk"])))
        if there is None:
            self._write(item)
        return there

    def replace(self, item: Item, version: int) -> bool:
        """Write the item with the next version if the existing one has ``version``."""
        there = self.get(Key(str(item["pk"]), str(item["sk"]))) or {}
        if int(there.get("version", 0)) != version:
            return False
        self._write(item | {"version": version + 1})
        return True

    def delete(self, key: Key, version: int) -> bool:
        """Delete the item if it has ``version``."""
        return self._parts[key.pk].pop(key.sk, None) is not None

    def add(
        self, key: Key, amounts: Mapping[str, int], values: Mapping[str, Value], first: Mapping[str, Value]
    ) -> None:
        """Add to numbers and set values."""
        fresh: Item = {**first, **(self.get(key) or {"pk": key.pk, "sk": key.sk}), **values}
        for name, amount in amounts.items():
            fresh[name] = int(fresh.get(name, 0)) + amount
        self._write(fresh)

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items of a range."""
        part = self._parts[pk]
        for sk in sorted((sk for sk in part if first <= sk <= last), reverse=newest_first):
            yield dict(part[sk])

    def query_index(
        self, index: str, value: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False
    ) -> Iterator[Item]:
        """Yield the items of an index; only that within a partition is modelled."""
        _, order = INDEXES[index]
        found = [item for item in self._parts[value].values() if first <= str(item.get(order, "")) <= last]
        yield from sorted(found, key=lambda item: str(item[order]), reverse=newest_first)

    def _write(self, item: Item) -> None:
        pk, second = str(item["pk"]), int(self._now_s())
        if second != self._second:
            if self._used >= self._units / 2 and second >= self._warm_until_s:
                self._units, self._warm_until_s = 2 * self._units, second + _WARM_S
            self._second, self._used = second, 0.0
            self._by_partition.clear()
        size = sum(len(value) if isinstance(value, bytes | str) else 8 for value in item.values())
        # Batches of the simulation are small; the batches that they represent take three units with the index.
        units = 3 if item.get("kind") == "batch" else -(-size // 1024)
        if self._used + units > self._units or self._by_partition[pk] + units > PARTITION_UNITS:
            raise StoreError("throttled")
        self._used += units
        self._by_partition[pk] += units
        self._written[pk.split("#")[0]] += 1
        self._parts[pk][str(item["sk"])] = dict(item)
