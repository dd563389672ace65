"""Ingest behind a stream in the place of the bulk queue: nothing is lost, nothing is stored or counted twice."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest

from cloud_functions.core.errors import StoreError
from cloud_functions.core.ingest_run import RESERVED_MS
from cloud_functions.core.received_sequences import counts_of
from device_sim.aws.stream import Stream
from tests.unit.cloud.fakes import aggregates, body
from tests.unit.cloud.test_ingest_app import app, context  # noqa: F401 - a fixture
from wire.acknowledgement import Acknowledgement
from wire.model import Batch

MINUTE_MS = 60_000


def names(event: dict[str, Any]) -> list[str]:
    return [record["kinesis"]["partitionKey"] for record in event["Records"]]


def test_records_of_a_key_arrive_in_order_and_keys_are_spread_over_shards() -> None:
    stream, seen = Stream(4, pollers=2, batch_size=3), []
    for at in range(60):
        stream.put(f"gw-{at % 6}", str(at).encode(), at)
    calls: list[list[str]] = []

    def function(event: dict[str, Any]) -> None:
        calls.append(names(event))
        seen.extend(
            (record["kinesis"]["partitionKey"], record["kinesis"]["sequenceNumber"]) for record in event["Records"]
        )

    assert stream.iterator_age_ms(100) == 100
    while stream.poll(function, 100):
        pass
    assert len(seen) == 60
    assert max(map(len, calls)) == 3
    for key in {key for key, _ in seen}:
        sequences = [sequence for one, sequence in seen if one == key]
        assert sequences == sorted(sequences)
    assert stream.iterator_age_ms(100) == 0


def test_a_batch_continues_with_its_first_failed_record_and_delivers_later_ones_again() -> None:
    stream, calls = Stream(1, pollers=1), []
    for at in range(4):
        stream.put("gw-1", str(at).encode(), 0)

    def function(event: dict[str, Any]) -> dict[str, Any]:
        sequences = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
        calls.append(len(sequences))
        return {"batchItemFailures": [{"itemIdentifier": sequences[1]}] if len(calls) == 1 else []}

    while stream.poll(function, 0):
        pass
    assert calls == [4, 3]


def test_an_error_bisects_the_batch_until_the_failing_record_is_alone_and_is_discarded() -> None:
    stream, done = Stream(1, pollers=1, retries=10), []
    for at in range(8):
        stream.put("gw-1", bytes([at]), 0)

    def function(event: dict[str, Any]) -> None:
        from base64 import b64decode

        values = [b64decode(record["kinesis"]["data"])[0] for record in event["Records"]]
        if 5 in values:
            raise ZeroDivisionError
        done.extend(values)

    while stream.poll(function, 0):
        pass
    assert sorted(done) == [0, 1, 2, 3, 4, 6, 7]
    assert [record.data for record in stream.discarded] == [bytes([5])]


def test_records_that_are_older_than_the_retention_period_are_removed() -> None:
    stream = Stream(1, retention_ms=1_000)
    stream.put("gw-1", b"x", 0)
    assert stream.poll(lambda event: None, 1_000) == 0
    assert len(stream.expired) == 1


class Fleet:
    """Gateways that send again until they are acknowledged. Table, acknowledgements and function fail at random."""

    def __init__(self, function: ModuleType, seed: int) -> None:
        self.app, self.rng, self.faulty = function, random.Random(seed), True
        self.waiting: dict[str, dict[int, str]] = {f"gw-{at}": {} for at in range(7)}
        self.made = 0

    def fails(self, share: float) -> bool:
        return self.faulty and self.rng.random() < share

    def send(self, gateway: str, payload: bytes) -> None:
        if self.fails(0.1):
            raise StoreError("acknowledgement")
        ack = Acknowledgement.decode(payload)
        waiting = self.waiting[gateway]
        for sequence in [sequence for sequence in waiting if ack.covers(sequence)]:
            del waiting[sequence]

    def function(self, event: dict[str, Any]) -> Any:
        if self.fails(0.05):
            raise TimeoutError("before")
        left = RESERVED_MS - 1 if self.fails(0.3) else 30_000
        answer = self.app.lambda_handler(event, context(*[30_000] * self.rng.randrange(5), left))
        if self.fails(0.05):
            raise TimeoutError("after")
        return answer

    def make(self) -> None:
        self.made += 1
        for gateway, waiting in self.waiting.items():
            batch = Batch(gateway, 7, self.made, aggregates(self.made))
            waiting[self.made] = body(batch, gateway=gateway)

    def publish(self, stream: Stream, now_ms: int) -> None:
        for gateway, batches in self.waiting.items():
            for text in batches.values():
                stream.put(gateway, text.encode(), now_ms)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_ingest_behind_a_stream_loses_and_doubles_nothing(
    app: ModuleType,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    stream, fleet = Stream(3, pollers=2, batch_size=5, retries=2, retention_ms=10 * MINUTE_MS), Fleet(app, seed)
    monkeypatch.setattr(app.acknowledger, "send", fleet.send)
    app.table.refuse = lambda key: fleet.fails(0.05)
    oldest_ms = 0
    for now_ms in range(MINUTE_MS, 50 * MINUTE_MS, MINUTE_MS):
        fleet.faulty = now_ms < 35 * MINUTE_MS
        if now_ms <= 30 * MINUTE_MS:
            fleet.make()
        fleet.publish(stream, now_ms)
        for _ in range(40):
            oldest_ms = max(oldest_ms, stream.iterator_age_ms(now_ms))
            stream.poll(fleet.function, now_ms)
    assert not any(fleet.waiting.values())
    assert len(app.table.of_kind("batch")) == 7 * fleet.made == 210
    totals = [counts_of(item) for item in app.table.of_kind("ack")]
    assert sum(one["batches"] for one in totals) == 210
    assert sum(one["duplicates"] for one in totals) > 0
    assert app.dead_letters.kept == []
    assert stream.discarded
    assert oldest_ms <= 10 * MINUTE_MS
