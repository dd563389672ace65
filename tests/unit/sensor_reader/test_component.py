"""The sensor reader forms batches by size and age, keeps them until acknowledged, and restarts changed sources only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_components.common import readings_message
from edge_components.common.config import load
from edge_components.common.errors import BusError, ConnectionLostError
from edge_components.sensor_reader.component import SensorReader
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.entries import Entry
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.source_log import SourceLog
from edge_components.sensor_reader.sources import Sink
from edge_components.sensor_reader.sources.host import HostSettings
from tests.fakes import FakeClock, fake_runtime
from wire import topics
from wire.acknowledgement import Acknowledgement
from wire.limits import MAX_LOCAL_BYTES
from wire.model import Batch, Readings, Series

HOST = {"name": "host", "kind": "host"}
MQTT = {"name": "mqtt", "kind": "mqtt"}
CONFIG = load(Config, {"sources": [HOST], "max_age_ms": 250, "retry_s": 2})


class FakeSource:
    """Source whose readings come from the test."""

    def __init__(self, entry: Entry, clock: FakeClock) -> None:
        self.clock = clock
        self.settings, self.name, self.waiting, self.state = entry.settings, entry.name, [], "new"
        self.failure: SourceError | None = None
        self.is_blocked, self.forgotten = False, []

    def start(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.state = "open"

    def poll(self, sink: Sink) -> None:
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action(sink)

    def next_poll_s(self) -> float:
        return math.inf

    def blocked(self) -> bool:
        return self.is_blocked

    def forget(self, address: str) -> None:
        self.forgotten.append(address)

    def health(self) -> Mapping[str, Any]:
        return {"state": self.state}

    def close(self) -> None:
        self.state = "closed"

    def read(self, name: str, *readings: tuple[int, float], address: str = "") -> None:
        def add(sink: Sink) -> None:
            series_id = sink.series_id(name, address or name, "m")
            for time_ms, value in readings:
                sink.extend((series_id,), (time_ms,), (value,), (0,), self.clock.monotonic())

        self.waiting.append(add)


class Bench:
    """A sensor reader on fakes."""

    def __init__(self, config: Config = CONFIG) -> None:
        self.runtime, self.bus, self.clock = fake_runtime(Path())
        self.sources: list[FakeSource] = []
        self.failures: list[SourceError] = []
        self.reader = SensorReader(config, self.runtime, self._open)

    def _open(self, entry: Entry, _log: SourceLog) -> FakeSource:
        source = FakeSource(entry, self.clock)
        source.failure = self.failures.pop(0) if self.failures else None
        self.sources.append(source)
        return source

    @property
    def source(self) -> FakeSource:
        return self.sources[-1]

    def tick(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        self.reader.tick()

    def batches(self) -> list[Batch]:
        return [readings_message.decode(payload) for payload in self.bus.on(topics.READINGS) if payload]

    def values(self) -> list[float]:
        """Return every published value, each batch once."""
        once = {batch.sequence: batch for batch in self.batches()}
        return [value for at in sorted(once) for value in once[at].rows.value.tolist()]  # type: ignore[union-attr]

    def acknowledge(self, cumulative: int) -> None:
        epoch = self.batches()[0].epoch
        self.bus.deliver(topics.READINGS_ACK, Acknowledgement(epoch, cumulative).encode())


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.reader.start()
    return made


def test_readings_wait_for_their_batch_no_longer_than_the_age_allows(bench: Bench) -> None:
    bench.source.read("a", (5, 1.0))
    bench.tick()
    bench.source.read("b", (6, 2.0), (7, 3.0))
    bench.tick(0.2)
    assert bench.batches() == []
    bench.tick(0.05)
    (batch,) = bench.batches()
    rows = batch.rows
    assert isinstance(rows, Readings)
    assert (batch.gateway, batch.sequence) == ("gw-test", 1)
    assert rows.series == (Series("a", "m"), Series("b", "m"))
    assert (rows.time_ms.tolist(), rows.value.tolist()) == ([5, 6, 7], [1.0, 2.0, 3.0])
    bench.tick(1.0)
    assert len(bench.batches()) == 1


def test_a_full_batch_goes_at_once_and_none_is_too_large(bench: Bench) -> None:
    chance = np.random.default_rng(1)
    readings = [(1_700_000_000_000 + at, float(chance.normal())) for at in range(5_000)]
    bench.source.read("a", *readings)
    bench.tick()
    assert len(bench.batches()) > 1
    bench.tick(0.25)
    assert bench.values() == pytest.approx([value for _, value in readings], abs=1e-9)
    assert all(len(payload) <= MAX_LOCAL_BYTES for payload in bench.bus.on(topics.READINGS))


def test_a_batch_is_sent_again_until_it_is_acknowledged(bench: Bench) -> None:
    bench.source.read("a", (5, 1.0))
    bench.tick()
    for _ in range(8):
        bench.tick(1.0)
    sent = len(bench.batches())
    assert sent >= 3
    assert bench.runtime.counters["batches_sent_again"] == sent - 1
    bench.acknowledge(1)
    bench.tick(100.0)
    assert len(bench.batches()) == sent
    assert bench.runtime.counters["batches_acknowledged"] == 1


def test_an_acknowledgement_that_cannot_be_read_is_counted_and_frees_nothing(bench: Bench) -> None:
    bench.source.read("a", (5, 1.0))
    bench.tick(0.3)
    bench.tick(0.3)
    bench.bus.deliver(topics.READINGS_ACK, b"junk")
    assert bench.runtime.counters["acknowledgements_unreadable"] == 1
    bench.tick(10.0)
    assert bench.runtime.counters["batches_sent_again"] == 1


def test_a_publish_that_fails_is_counted_and_tried_again(bench: Bench) -> None:
    bench.bus.failure = BusError("busy")
    bench.source.read("a", (5, 1.0))
    bench.tick()
    bench.tick(0.3)
    assert bench.runtime.counters["publish_failed"] == 1
    bench.bus.failure = None
    bench.tick(5.0)
    assert bench.values() == [1.0]


def test_a_lost_connection_loses_no_reading(bench: Bench) -> None:
    bench.source.read("a", (5, 1.0))
    bench.bus.failure = ConnectionLostError("gone")
    bench.tick(0.3)
    bench.bus.failure = None
    bench.tick(5.0)
    assert bench.values() == [1.0]


@pytest.mark.slow
def test_without_acknowledgements_the_oldest_batches_are_dropped_and_counted() -> None:
    bench = Bench(replace(CONFIG, outbox_bytes=100_000))
    bench.reader.start()
    chance, given = np.random.default_rng(1), 0
    for turn in range(60):
        bench.source.read("a", *((turn * 10_000 + at, float(chance.normal())) for at in range(500)))
        given += 500
        bench.tick(1.0)
    bench.tick(1.0)
    dropped = bench.runtime.counters["dropped_readings"]
    assert dropped > 0
    bench.bus.published.clear()
    for _ in range(200):
        bench.tick(60.0)
        for batch in bench.batches():
            bench.bus.deliver(topics.READINGS_ACK, Acknowledgement(batch.epoch, 0, ((batch.sequence,) * 2,)).encode())
    assert len(bench.values()) == given - dropped
    assert bench.runtime.counters["readings"] == given


def test_a_source_that_cannot_begin_is_tried_again_and_the_other_one_reads() -> None:
    bench = Bench(load(Config, {"max_age_ms": 250}))
    bench.failures = [SourceError("mqtt: cannot use /ca.pem")]
    bench.reader.start()
    assert [source.state for source in bench.sources] == ["new", "open"]
    bench.source.read("a", (5, 1.0))
    bench.tick(9.0)
    bench.tick(0.5)
    assert bench.values() == [1.0]
    assert len(bench.sources) == 2
    bench.tick(1.0)
    assert [source.state for source in bench.sources] == ["new", "open", "open"]
    assert bench.runtime.counters["sources_failed"] == 1


def test_another_configuration_restarts_only_the_sources_that_it_changes_and_loses_nothing() -> None:
    bench = Bench(load(Config, {"max_age_ms": 250}))
    bench.reader.start()
    mqtt, host = bench.sources
    mqtt.read("a", (5, 1.0))
    host.read("b", (6, 2.0))
    bench.reader.reconfigure(
        load(
            Config,
            {"max_age_ms": 250, "sources": [MQTT, {**HOST, "interval_ms": 500}], "series": {"a": {"unit": "Cel"}}},
        )
    )
    bench.tick(1.0)
    assert [source.state for source in bench.sources] == ["open", "closed", "open"]
    assert isinstance(bench.source.settings, HostSettings)
    assert bench.source.settings.interval_ms == 500
    bench.tick(1.0)
    assert sorted(bench.values()) == [1.0, 2.0]
    described = {series.name: series.unit for batch in bench.batches() for series in batch.rows.series}  # type: ignore[union-attr]
    assert described == {"a": "Cel", "b": "m"}


def test_a_source_that_is_switched_off_is_closed() -> None:
    bench = Bench(load(Config, {"max_age_ms": 250}))
    bench.reader.start()
    bench.reader.reconfigure(CONFIG)
    bench.tick(1.0)
    assert [source.state for source in bench.sources] == ["closed", "open"]


def test_closing_sends_the_last_readings(bench: Bench) -> None:
    bench.source.read("a", (5, 1.0))
    bench.reader.close()
    assert bench.source.state == "closed"
    assert bench.values() == [1.0]


def test_a_reading_that_is_rejected_is_counted_and_disturbs_no_other(bench: Bench) -> None:
    def reject(sink: Sink) -> None:
        sink.reject("rejected_json", "topic t: not JSON", key="t")

    actions: list[Callable[[Sink], None]] = [reject, reject]
    bench.source.waiting += actions
    bench.source.read("a", (5, 1.0))
    bench.tick()
    bench.tick(0.3)
    assert bench.values() == [1.0]
    assert bench.runtime.counters["rejected_json"] == 2


def test_acknowledgements_are_made_once_the_readings_are_stored(bench: Bench) -> None:
    settled: list[str] = []
    bench.source.read("a", (5, 1.0))
    bench.source.waiting.append(lambda sink: sink.when_stored(lambda: settled.append("a")))
    bench.tick()
    bench.tick(0.3)
    assert settled == []
    bench.acknowledge(1)
    bench.tick()
    assert settled == ["a"]


def test_readings_that_could_not_be_cut_into_a_batch_stay_and_are_not_acknowledged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[str] = []
    bench.source.read("a", (5, 1.0), (6, 2.0))
    bench.source.waiting.append(lambda sink: sink.when_stored(lambda: settled.append("a")))

    def short(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(readings_message, "encode", short)
    bench.tick()
    with pytest.raises(MemoryError):
        bench.tick(1.0)
    monkeypatch.undo()
    bench.source.read("b", (7, 3.0))
    bench.tick(1.0)
    assert settled == []
    bench.acknowledge(1)
    bench.tick()
    assert bench.values() == [1.0, 2.0, 3.0]
    assert settled == ["a"]


def requests(bench: Bench) -> list[str]:
    """Return each request for a commit: "batch" for an urgent one, "empty" for an empty message."""
    sent = bench.bus.on(topics.READINGS)
    return ["batch" if payload else "empty" for payload in sent if not payload or readings_message.is_urgent(payload)]


def test_a_blocked_sender_has_its_readings_sent_and_committed_at_once(bench: Bench) -> None:
    bench.source.read("a", (5, 1.0))
    bench.source.is_blocked = True
    assert bench.reader.tick() <= 1.0
    assert bench.values() == [1.0]
    assert requests(bench) == ["batch"]
    bench.tick(0.5)
    assert requests(bench) == ["batch"]  # not again so soon
    bench.tick(0.6)
    assert requests(bench) == ["batch", "empty"]
    bench.acknowledge(1)
    bench.tick(5.0)
    assert requests(bench) == ["batch", "empty"]  # nothing is left to commit


def test_only_the_last_of_several_batches_requests_a_commit(bench: Bench) -> None:
    chance = np.random.default_rng(1)
    bench.source.read("a", *((at, float(chance.normal())) for at in range(3_000)))
    bench.source.is_blocked = True
    bench.tick()
    assert len(bench.batches()) > 2
    assert requests(bench) == ["batch"]
    assert readings_message.is_urgent(bench.bus.on(topics.READINGS)[-1])


def test_a_blocked_sender_requests_a_commit_with_an_empty_message(bench: Bench) -> None:
    bench.source.read("a", (5, 1.0))
    bench.tick()
    bench.tick(0.3)
    bench.source.is_blocked = True
    bench.tick(0.1)
    assert requests(bench) == ["empty"]


def test_a_sender_that_is_not_blocked_waits_for_the_aggregator_to_commit(bench: Bench) -> None:
    bench.source.read("a", (5, 1.0))
    bench.tick()
    bench.tick(0.3)
    bench.tick(10.0)
    assert requests(bench) == []


def test_an_idle_reader_is_called_once_a_second(bench: Bench) -> None:
    assert bench.reader.tick() == 1.0
    bench.source.read("a", (5, 1.0))
    assert bench.reader.tick() == pytest.approx(0.25)


def test_at_the_limit_a_silent_series_makes_room_and_its_id_is_reused_only_after_its_readings_are_sent() -> None:
    bench = Bench(replace(CONFIG, max_series=2))
    bench.reader.start()
    for at, name in enumerate("abcda"):
        bench.source.read(name, (at, float(at)))
        bench.tick(0.01)
    bench.tick(1.0)
    named = [
        (batch.rows.series[index].name, value)  # type: ignore[union-attr]
        for batch in bench.batches()
        for index, value in zip(batch.rows.series_index, batch.rows.value, strict=True)  # type: ignore[union-attr]
    ]
    assert named == [("a", 0.0), ("b", 1.0), ("c", 2.0), ("d", 3.0), ("a", 4.0)]
    assert bench.runtime.counters["series_forgotten"] == 3
    assert bench.source.forgotten == ["a", "b", "c"]


def test_other_settings_let_another_place_provide_a_series() -> None:
    bench = Bench(load(Config, {"sources": [MQTT], "max_age_ms": 250}))
    bench.reader.start()
    bench.source.read("a", (5, 1.0), address="old/a")
    bench.tick(1.0)
    bench.reader.reconfigure(load(Config, {"max_age_ms": 250, "sources": [{**MQTT, "topics": ["new/{a}"]}]}))
    bench.source.read("a", (6, 2.0), address="new/a")
    bench.tick(1.0)
    bench.tick(1.0)
    assert bench.values() == [1.0, 2.0]


def test_the_first_reading_of_each_series_of_a_changed_entry_is_uncertain() -> None:
    bench = Bench(load(Config, {"sources": [MQTT, HOST], "max_age_ms": 250}))
    bench.reader.start()
    mqtt, host = bench.sources
    mqtt.read("a", (5, 10.0))
    host.read("b", (5, 7.0))
    bench.tick(1.0)
    scaled = {**MQTT, "fields": {"*": {"scale": 0.1}}}
    bench.reader.reconfigure(load(Config, {"max_age_ms": 250, "sources": [scaled, HOST]}))
    bench.source.read("a", (6, 1.0), (7, 1.1))
    host.read("b", (6, 7.0))
    bench.tick(1.0)
    bench.tick(1.0)
    once = {batch.sequence: batch for batch in bench.batches()}
    found = [
        (value, quality)
        for batch in once.values()
        for value, quality in zip(batch.rows.value.tolist(), batch.rows.quality.tolist(), strict=True)  # type: ignore[union-attr]
    ]
    assert sorted(found) == [(1.0, 1), (1.1, 0), (7.0, 0), (7.0, 0), (10.0, 0)]


def test_the_health_report_has_kind_state_counters_and_last_error_of_each_source_by_its_name() -> None:
    bench = Bench(load(Config, {"sources": [MQTT, {**MQTT, "name": "hall-2"}, HOST]}))
    bench.failures = [SourceError("cannot use /ca.pem")]
    bench.reader.start()
    bench.sources[1].waiting.append(lambda sink: sink.reject("rejected_json", "topic t: not JSON", key="t"))
    bench.tick()
    failed = "sources_failed: cannot use /ca.pem; retried every 10 s"
    assert bench.reader.health() == {
        "series": 0,
        "sources": {
            "mqtt": {"kind": "mqtt", "state": "failed", "counters": {"sources_failed": 1}, "last_error": failed},
            "hall-2": {
                "kind": "mqtt",
                "state": "open",
                "counters": {"rejected_json": 1},
                "last_error": "rejected_json: topic t: not JSON",
            },
            "host": {"kind": "host", "state": "open"},
        },
    }


def test_a_source_that_raises_is_closed_and_opened_again_and_disturbs_no_other() -> None:
    bench = Bench(load(Config, {"sources": [MQTT, HOST], "max_age_ms": 250}))
    bench.reader.start()
    broken, other = bench.sources

    def fail(sink: Sink) -> None:
        raise ZeroDivisionError

    broken.waiting.append(fail)
    other.read("a", (5, 1.0))
    bench.tick()
    bench.tick(0.3)
    assert bench.values() == [1.0]
    assert (broken.state, other.state) == ("closed", "open")
    assert bench.runtime.counters["source_errors"] == 1
    bench.tick(10.0)
    assert [source.name for source in bench.sources] == ["mqtt", "host", "mqtt"]
    bench.source.read("b", (6, 2.0))
    bench.tick()
    bench.tick(0.3)
    assert bench.values() == [1.0, 2.0]


def test_each_source_is_acknowledged_for_its_own_readings() -> None:
    bench = Bench(load(Config, {"sources": [MQTT, {**MQTT, "name": "second"}], "max_age_ms": 250}))
    bench.reader.start()
    settled: list[str] = []
    for at, source in enumerate(bench.sources):
        source.read(f"s{at}", (5, 1.0))
        source.waiting.append(lambda sink, name=source.name: sink.when_stored(lambda: settled.append(name)))
        bench.tick(0.3)
        bench.tick(0.3)
    bench.acknowledge(1)
    bench.tick()
    assert settled == ["mqtt"]
    bench.acknowledge(2)
    bench.tick()
    assert settled == ["mqtt", "second"]


def test_an_entry_that_is_added_or_removed_leaves_the_others_open() -> None:
    bench = Bench(load(Config, {"sources": [MQTT], "max_age_ms": 250}))
    bench.reader.start()
    bench.reader.reconfigure(load(Config, {"sources": [MQTT, {**MQTT, "name": "second"}], "max_age_ms": 250}))
    assert [source.state for source in bench.sources] == ["open", "open"]
    bench.reader.reconfigure(load(Config, {"sources": [{**MQTT, "name": "second"}], "max_age_ms": 250}))
    assert [source.state for source in bench.sources] == ["closed", "open"]
    assert list(bench.reader.health()["sources"]) == ["second"]


def test_missing_acknowledgements_renew_their_subscription(bench: Bench) -> None:
    subscription = bench.bus.subscriptions[topics.READINGS_ACK][0]
    subscription.lost = True
    bench.source.read("a", (5, 1.0))
    for _ in range(60):
        bench.tick(0.5)
    assert subscription.renewals


@pytest.mark.slow
def test_sixteen_thousand_series_pass_the_reader_each_once() -> None:
    bench = Bench(replace(CONFIG, max_series=16_384))
    bench.reader.start()
    for at in range(16_384):
        bench.source.read(f"device-{at}.temperature", (at, float(at)))
    sent = -1
    while sent < (sent := len(bench.bus.on(topics.READINGS))):
        bench.tick(1.0)
        bench.acknowledge(max(batch.sequence for batch in bench.batches()))
    assert sorted(bench.values()) == [float(at) for at in range(16_384)]
    assert bench.runtime.counters["series_forgotten"] == 0
    assert all(len(payload) <= MAX_LOCAL_BYTES for payload in bench.bus.on(topics.READINGS))


class FakeSessions:
    """Records what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def update(self, entries: Iterable[tuple[str, Any]]) -> None:
        self.calls.append([name for name, _settings in entries])

    def poll(self) -> None:
        self.calls.append("poll")

    def close(self) -> None:
        self.calls.append("close")


def test_sessions_that_no_entry_has_are_ended_at_the_start_and_when_the_entries_change() -> None:
    bench = Bench(load(Config, {"sources": [MQTT, HOST]}))
    sessions = FakeSessions()
    bench.reader = SensorReader(load(Config, {"sources": [MQTT, HOST]}), bench.runtime, bench._open, sessions)
    bench.reader.start()
    bench.tick()
    bench.reader.reconfigure(load(Config, {"sources": [HOST]}))
    bench.reader.close()
    assert sessions.calls == [["mqtt", "host"], "poll", ["host"], "close"]


def test_two_sources_that_give_one_name_are_both_read_and_reported() -> None:
    bench = Bench(load(Config, {"sources": [MQTT, {**MQTT, "name": "hall-2"}], "max_age_ms": 250}))
    bench.reader.start()
    for source, value in zip(bench.sources, (1.0, 2.0), strict=True):
        source.read("pump", (5, value))
    bench.tick(1.0)
    bench.tick(1.0)
    assert bench.values() == [1.0, 2.0]
    assert bench.runtime.counters["series_collisions"] == 1
    first, second = (series.name for series in bench.batches()[0].rows.series)  # type: ignore[union-attr]
    assert (first, second.startswith("pump:")) == ("pump", True)
