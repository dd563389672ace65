"""A storm of alerts through the code of alerting, groups and notify, in this process over tables in memory.

The streams of the tables are delivered in batches, as Lambda does: a batch whose function fails is delivered again. A
share of the conditional writes is refused: what a table that limits the rate refuses after the client's repetitions.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cloud_functions.adapters.dynamodb import INDEXES
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.channels import Channel, ChannelType, default_channels
from cloud_functions.core.deliveries import Delivery
from cloud_functions.core.dispatch import Dispatcher, transitions_of
from cloud_functions.core.errors import StoreError
from cloud_functions.core.grouping import Groups
from cloud_functions.core.keys import STATE_BUCKETS
from cloud_functions.core.ports import Item, Key, Value
from cloud_functions.core.routes import GroupBy, Route, default_route
from wire.anomaly import Anomaly, Phase

GATEWAYS, ASSET = 100, 10
"""Gateways of the storm, and series of an asset."""
BATCH = 100
"""Records of a stream in a batch (template.yaml)."""
REFUSED = 499
"""Every write of this number is refused."""
MINUTE_MS = 60_000


class MemoryTable:
    """Table in memory, of which every ``REFUSED``-th write is refused; ``stream`` has the changes of alerts."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, Item]] = defaultdict(dict)
        self.stream: deque[tuple[Item | None, Item]] = deque()
        self.writes = self.refused = 0

    def get(self, key: Key) -> Item | None:
        """Return the item."""
        found = self._parts[key.pk].get(key.sk)
        return dict(found) if found is not None else None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return the items that exist."""
        return {key: item for key in keys if (item := self.get(key)) is not None}

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items."""
        for item in items:
            self._put(item)

    def put_new(self, item: Item) -> Item | None:
        """Write the item if its key is free, else return the existing one."""
        there = self.get(Key(str(item["pk"]), str(item["sk"])))
        if there is None:
            self._write(item)
        return there

    def replace(self, item: Item, version: int) -> bool:
        """Write the item if the existing one has the version."""
        there = self.get(Key(str(item["pk"]), str(item["sk"])))
        if (int(there["version"]) if there else 0) != version:
            return False
        self._write(item | {"version": version + 1})
        return True

    def delete(self, key: Key, version: int) -> bool:
        """Delete the item if it has the version."""
        there = self._parts[key.pk].get(key.sk)
        if there is None or there["version"] != version:
            return False
        del self._parts[key.pk][key.sk]
        return True

    def remove(self, found: Iterable[Key]) -> None:
        """Remove items."""
        for key in found:
            self._parts[key.pk].pop(key.sk, None)

    def add(
        self, key: Key, amounts: Mapping[str, int], values: Mapping[str, Value], first: Mapping[str, Value]
    ) -> None:
        """Refuse: alerting adds to no item."""
        raise NotImplementedError("alerting adds to no item")

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items of a partition in order."""
        part = self._parts[pk]
        for sk in sorted((sk for sk in part if first <= sk <= last), reverse=newest_first):
            yield dict(part[sk])

    def query_index(
        self, index: str, value: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False
    ) -> Iterator[Item]:
        """Yield the items under a value of an index."""
        partition, _ = INDEXES[index]
        yield from (item for part in self._parts.values() for item in part.values() if item.get(partition) == value)

    def _write(self, item: Item) -> None:
        self.writes += 1
        if self.writes % REFUSED == 0:
            self.refused += 1
            raise StoreError("ProvisionedThroughputExceededException")
        self._put(item)

    def _put(self, item: Item) -> None:
        part, sk = self._parts[str(item["pk"])], str(item["sk"])
        if item.get("kind") == "alert":
            self.stream.append((part.get(sk), dict(item)))
        part[sk] = dict(item)


class Destinations:
    """Queues and destinations: counts each event once, by its id and channel."""

    def __init__(self) -> None:
        self.events: dict[str, set[str]] = defaultdict(set)
        self.alerts = 0

    def put(self, channel_type: str, bodies: Sequence[str]) -> None:
        """Accept deliveries, as a queue does."""
        for body in bodies:
            delivery = Delivery.from_json(body)
            if delivery.event["id"] not in self.events[delivery.channel]:
                self.events[delivery.channel].add(str(delivery.event["id"]))
                self.alerts += int(delivery.event["data"].get("count", 0))


def storm(number: int) -> dict[str, float]:
    """Raise alerts within a minute of simulated time; return what was lost, and the numbers of notifications."""
    began_ms = 1_760_000_000_000
    now_ms = began_ms
    table, destinations = MemoryTable(), Destinations()

    def clock() -> int:
        return now_ms

    mail = Channel("people", ChannelType.EMAIL, {"to": ["a@example.com"]})
    channels = default_channels() | {"people": mail}
    people = Route("people", "*", "*", "*", (), (), ("people",), GroupBy.ASSET)
    groups = Groups(table, destinations, clock)
    dispatcher = Dispatcher(lambda: [default_route(), people], lambda: channels, destinations, groups)
    book = AlertBook(table, clock, 86_400_000)
    began, cpu = time.perf_counter(), time.process_time()
    repeated = 0
    for at in range(0, number, BATCH):
        now_ms = began_ms + at * MINUTE_MS // number
        reports = [_report(one, now_ms) for one in range(at, min(at + BATCH, number))]
        repeated += _until_accepted(lambda reports=reports: [book.report(*one) for one in reports])
        repeated += _drain(table, dispatcher)
    for _ in range(4):
        now_ms += 300_000
        for bucket in range(STATE_BUCKETS):
            repeated += _until_accepted(lambda bucket=bucket: groups.flush_due(bucket))
    received = len(destinations.events["default-sns"])
    return {
        "storm_alerts": number,
        "storm_lost": max(0, number - received) + max(0, number - destinations.alerts),
        "storm_notifications": len(destinations.events["people"]),
        "storm_refused_writes": table.refused,
        "storm_repeated_batches": repeated,
        "storm_wall_s": time.perf_counter() - began,
        "storm_cpu_s": time.process_time() - cpu,
    }


def _drain(table: MemoryTable, dispatcher: Dispatcher) -> int:
    repeated = 0
    while table.stream:
        batch = [table.stream.popleft() for _ in range(min(BATCH, len(table.stream)))]
        entered = [one for old, new in batch for one in transitions_of(old, new)]
        repeated += _until_accepted(lambda entered=entered: dispatcher.dispatch(entered))
    return repeated


def _until_accepted(step: Any) -> int:
    """Repeat a step until the table accepts it, as a stream repeats a batch; return the number of repetitions."""
    repeated = 0
    while True:
        try:
            step()
            return repeated
        except StoreError:
            repeated += 1


def _report(at: int, now_ms: int) -> tuple[str, Anomaly]:
    gateway, series = at % GATEWAYS, at // GATEWAYS
    name = f"asset{series // ASSET}/s{series % ASSET}"
    report = Anomaly(name, Phase.ONSET, now_ms - 1_000, now_ms, 1.5, "spike", "up", 31.0, 20.0, unit="Cel")
    return f"gw-{gateway}", report


if __name__ == "__main__":
    print(json.dumps(storm(1_000)))
