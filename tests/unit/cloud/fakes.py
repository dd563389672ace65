"""In-memory fakes of the cloud's ports."""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cloud_functions.adapters.dynamodb import INDEXES
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import DeadLetter, Item, Key, Value
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates, Anomaly, Batch, Phase, Series

NOW_MS = 1_760_000_000_000
START_MS = 1_750_000_000_000


class CrashError(Exception):
    """Simulated crash of the function at a write."""


@dataclass
class FakeTable:
    """In-memory table. ``writes_left`` counts down to a crash; ``stream`` has every change as (old, new).

    ``outdated`` are items as an eventually consistent read returns them, ``attempts`` the keys of all writes.
    """

    items: dict[Key, Item] = field(default_factory=dict)
    stream: list[tuple[Item | None, Item]] = field(default_factory=list)
    writes_left: int | None = None
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    before_replace: Callable[[], None] | None = None
    before_delete: Callable[[], None] | None = None
    refuse: Callable[[Key], bool] = lambda key: False
    refuse_many: bool = False
    outdated: dict[Key, Item] = field(default_factory=dict)
    attempts: list[Key] = field(default_factory=list)

    def get(self, key: Key) -> Item | None:
        self._check(key)
        return dict(self.items[key]) if key in self.items else None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        assert len(set(keys)) == len(keys), "BatchGetItem takes a key once"
        if self.refuse_many:
            raise StoreError("refused")
        for key in keys:
            self._check(key)
        return {key: dict(self.outdated.get(key, self.items[key])) for key in keys if key in self.items}

    def put_many(self, items: Iterable[Item]) -> None:
        # The service writes a batch in any order, and can fail in the middle of it.
        shuffled = list(items)
        assert len({_key(item) for item in shuffled}) == len(shuffled), "BatchWriteItem takes a key once"
        self.rng.shuffle(shuffled)
        for item in shuffled:
            self._write(item)

    def put_new(self, item: Item) -> Item | None:
        if _key(item) in self.items:
            self.attempts.append(_key(item))
            return dict(self.items[_key(item)])
        self._write(item)
        return None

    def replace(self, item: Item, version: int) -> bool:
        if self.before_replace is not None:
            self.before_replace()
        there = self.items.get(_key(item))
        if (int(there["version"]) if there else 0) != version:
            return False
        self._write(item | {"version": version + 1})
        return True

    def delete(self, key: Key, version: int) -> bool:
        if self.before_delete is not None:
            self.before_delete()
        there = self.items.get(key)
        if there is None or there["version"] != version:
            return False
        self._spend(key)
        del self.items[key]
        return True

    def remove(self, found: Iterable[Key]) -> None:
        for key in found:
            self._spend(key)
            self.items.pop(key, None)

    def add(
        self, key: Key, amounts: Mapping[str, int], values: Mapping[str, Value], first: Mapping[str, Value]
    ) -> None:
        fresh: Item = dict(first) | self.items.get(key, {"pk": key.pk, "sk": key.sk}) | dict(values)
        for name, amount in amounts.items():
            fresh[name] = int(fresh.get(name, 0)) + amount
        self._write(fresh)

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        wanted = [key for key in self.items if key.pk == pk and first <= key.sk <= last]
        for key in sorted(wanted, reverse=newest_first):
            if key in self.items:  # otherwise it was deleted after the query began
                yield dict(self.items[key])

    def query_index(
        self, index: str, value: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False
    ) -> Iterator[Item]:
        partition, order = INDEXES[index]
        wanted = [
            item
            for item in self.items.values()
            if item.get(partition) == value and order in item and first <= str(item[order]) <= last
        ]
        yield from (dict(item) for item in sorted(wanted, key=lambda item: str(item[order]), reverse=newest_first))

    def of_kind(self, kind: str) -> list[Item]:
        return [item for _, item in sorted(self.items.items()) if item["kind"] == kind]

    def _check(self, key: Key) -> None:
        if self.refuse(key):
            raise StoreError(f"{key}: refused")

    def _spend(self, key: Key) -> None:
        self._check(key)
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise CrashError
            self.writes_left -= 1

    def _write(self, item: Item) -> None:
        self.attempts.append(_key(item))
        self._spend(_key(item))
        self.stream.append((self.items.get(_key(item)), dict(item)))
        self.items[_key(item)] = dict(item)


def _key(item: Item) -> Key:
    return Key(str(item["pk"]), str(item["sk"]))


@dataclass
class FakeAcknowledger:
    """Records acknowledgements; fails if ``down`` is set."""

    sent: list[tuple[str, Acknowledgement]] = field(default_factory=list)
    down: bool = False

    def send(self, gateway: str, payload: bytes) -> None:
        if self.down:
            raise StoreError("iot is down")
        self.sent.append((gateway, Acknowledgement.decode(payload)))


@dataclass
class FakeDeadLetterSink:
    """Records dead letters; fails if ``down`` is set."""

    kept: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    down: bool = False

    def keep(self, body: str, attributes: Mapping[str, str]) -> None:
        if self.down:
            raise StoreError("sqs is down")
        self.kept.append((body, dict(attributes)))


@dataclass
class FakeDeadLetterQueue:
    """Queue of dead letters, which hides received ones until they are released; some operations can be made to fail."""

    letters: list[DeadLetter] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    refuse_delete: bool = False
    refuse_release: bool = False
    interrupt_delete: bool = False
    handles: Iterator[int] = field(default_factory=itertools.count)

    def put(self, body: str, sent_ms: int = NOW_MS, source: str = "", **attributes: str) -> str:
        letter = DeadLetter(f"id-{len(self.letters)}", "", body, attributes, sent_ms, source)
        self.letters.append(letter)
        return letter.id

    def receive(self, hide_s: int) -> list[DeadLetter]:
        assert hide_s > 0
        found = [letter for letter in self.letters if letter.id not in self.hidden][:10]
        self.hidden |= {letter.id for letter in found}
        # Only the newest handle of a dead letter is valid.
        fresh = {letter.id: letter._replace(handle=str(next(self.handles))) for letter in found}
        self.letters = [fresh.get(letter.id, letter) for letter in self.letters]
        return list(fresh.values())

    def release(self, handles: Sequence[str]) -> None:
        if self.refuse_release:
            raise StoreError("sqs is down")
        self.hidden -= {letter.id for letter in self.letters if letter.handle in handles}

    def delete(self, handle: str) -> None:
        if self.interrupt_delete:
            raise KeyboardInterrupt
        if self.refuse_delete:
            raise StoreError("sqs is down")
        self.hidden -= {letter.id for letter in self.letters if letter.handle == handle}
        self.letters = [letter for letter in self.letters if letter.handle != handle]


@dataclass
class FakeSender:
    """Records messages; ``before`` is called first and may raise."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def send(self, url: str, body: str) -> None:
        self.before()
        self.sent.append((url, body))


@dataclass
class FakeReplay:
    """Records the references given; raises ``refuse`` if it is set."""

    given: list[str] = field(default_factory=list)
    refuse: Exception | None = None

    def replay(self, reference: str) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.given.append(reference)


@dataclass
class FakeOutbox:
    """Records deliveries by type of channel; the first ``failures`` calls fail."""

    put_in: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failures: int = 0

    def put(self, channel_type: str, bodies: Sequence[str]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("sqs is down")
        self.put_in += [(channel_type, json.loads(body)) for body in bodies]

    def events(self, channel: str) -> list[dict[str, Any]]:
        return [body["event"] for _, body in self.put_in if body["channel"] == channel]


def body(batch: Batch, lane: str = "bulk", **changes: Any) -> str:
    """Return the message that the topic rule queues for a batch, with changed fields."""
    if "data" not in changes:
        changes["data"] = base64.b64encode(codec.encode(batch, coders=codec.FAST)).decode()
    fields = {
        "topic": f"strandline/v1/{batch.gateway}/{lane}",
        "client": batch.gateway,
        "principal": "cert",
        "received_at": NOW_MS,
    }
    return json.dumps(fields | changes)


def aggregates(seed: int = 0, rows: int = 12, n_series: int = 3) -> Aggregates:
    """Return random rows of a few series, in windows of ten seconds."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(20.0, 1.0, rows).round(2)
    return Aggregates(
        tuple(Series(f"pump{at}.temperature", "Cel", 0.01) for at in range(n_series)),
        np.arange(rows, dtype=np.int64) % n_series,
        START_MS + seed * 1_000_000 + np.arange(rows, dtype=np.int64) // n_series * 10_000,
        np.full(rows, 10_000, np.int64),
        rng.integers(1, 11, rows),
        mean,
        mean - 0.5,
        mean + 0.5,
        rng.random(rows).round(3),
        rng.random(rows).round(3),
    )


def report(
    phase: Phase = Phase.ONSET, after_ms: int = 1_000, score: float = 1.5, series: str = "pump0.temperature"
) -> Anomaly:
    """Return a report of the anomaly that began at START_MS."""
    return Anomaly(series, phase, START_MS, START_MS + after_ms, score, "spike", "up", 31.0, 20.0, unit="Cel")
