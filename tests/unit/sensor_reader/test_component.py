"""The sensor reader batches by size and age, keeps batches until they are held, and restarts only what changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_components.common import readings_message
from edge_components.common.config import load
from edge_components.common.errors import BusError, ConnectionLostError
from edge_components.sensor_reader.component import SensorReader
from edge_components.sensor_reader.config import Config, Settings
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.sources import Sink
from edge_components.sensor_reader.sources.host import HostSettings
from tests.fakes import fake_runtime
from wire import topics
from wire.acknowledgement import Acknowledgement
from wire.limits import MAX_LOCAL_BYTES
from wire.model import Batch, Readings, Series

CONFIG = load(Config, {"mqtt": False})


class FakeSource:
    """Hands over what the test puts into it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.waiting, self.state = settings, [], "new"
        self.failure: SourceError | None = None

    def start(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.state = "open"

    def poll(self, sink: Sink) -> None:
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action(sink)

    def close(self) -> None:
        self.state = "closed"

    def say(self, name: str, *readings: tuple[int, float]) -> None:
        def add(sink: Sink) -> None:
            place = sink.place(name, name, "m")
            for time_ms, value in readings:
                sink.add(place, time_ms, value)

        self.waiting.append(add)


class Bench:
    """A sensor reader on fakes."""

    def __init__(self, config: Config = CONFIG) -> None:
        self.runtime, self.bus, self.clock = fake_runtime(Path())
        self.sources: list[FakeSource] = []
        self.failures: list[SourceError] = []
        self.reader = SensorReader(config, self.runtime, self._open)

    def _open(self, settings: Settings) -> FakeSource:
        source = FakeSource(settings)
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
        return [readings_message.decode(payload) for payload in self.bus.on(topics.READINGS)]

    def values(self) -> list[float]:
        """Every value published, each batch once."""
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
    bench.source.say("a", (5, 1.0))
    bench.tick()
    bench.source.say("b", (6, 2.0), (7, 3.0))
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
    bench.source.say("a", *readings)
    bench.tick()
    bench.acknowledge(1)
    assert bench.values() == pytest.approx([value for _, value in readings], abs=1e-9)
    assert all(len(payload) <= MAX_LOCAL_BYTES for payload in bench.bus.on(topics.READINGS))


def test_a_batch_is_sent_again_until_it_is_acknowledged(bench: Bench) -> None:
    bench.source.say("a", (5, 1.0))
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
    bench.source.say("a", (5, 1.0))
    bench.tick(0.3)
    bench.tick(0.3)
    bench.bus.deliver(topics.READINGS_ACK, b"junk")
    assert bench.runtime.counters["acknowledgements_unreadable"] == 1
    bench.tick(10.0)
    assert bench.runtime.counters["batches_sent_again"] == 1


def test_a_publish_that_fails_is_counted_and_tried_again(bench: Bench) -> None:
    bench.bus.failure = BusError("busy")
    bench.source.say("a", (5, 1.0))
    bench.tick()
    bench.tick(0.3)
    assert bench.runtime.counters["publish_failed"] == 1
    bench.bus.failure = None
    bench.tick(5.0)
    assert bench.values() == [1.0]


def test_a_lost_connection_is_left_to_the_loop(bench: Bench) -> None:
    bench.source.say("a", (5, 1.0))
    bench.tick()
    bench.bus.failure = ConnectionLostError("gone")
    with pytest.raises(ConnectionLostError):
        bench.tick(0.3)


def test_when_nobody_takes_batches_the_oldest_go_and_every_reading_lost_is_counted() -> None:
    bench = Bench(replace(CONFIG, outbox_bytes=100_000))
    bench.reader.start()
    chance, given = np.random.default_rng(1), 0
    for turn in range(60):
        bench.source.say("a", *((turn * 10_000 + at, float(chance.normal())) for at in range(500)))
        given += 500
        bench.tick(1.0)
    bench.tick(1.0)
    dropped = bench.runtime.counters["readings_dropped"]
    assert dropped > 0
    bench.bus.published.clear()
    for _ in range(200):
        bench.tick(60.0)
        for batch in bench.batches():
            bench.bus.deliver(topics.READINGS_ACK, Acknowledgement(batch.epoch, 0, ((batch.sequence,) * 2,)).encode())
    assert len(bench.values()) == given - dropped
    assert bench.runtime.counters["readings"] == given


def test_a_source_that_cannot_begin_is_tried_again_and_the_other_one_reads() -> None:
    bench = Bench(load(Config, {}))
    bench.failures = [SourceError("mqtt: cannot use /ca.pem")]
    bench.reader.start()
    assert [source.state for source in bench.sources] == ["new", "open"]
    bench.source.say("a", (5, 1.0))
    bench.tick(9.0)
    bench.tick(0.5)
    assert bench.values() == [1.0]
    assert len(bench.sources) == 2
    bench.tick(1.0)
    assert [source.state for source in bench.sources] == ["new", "open", "open"]
    assert bench.runtime.counters["sources_failed"] == 1


def test_another_configuration_restarts_only_the_sources_that_it_changes_and_loses_nothing() -> None:
    bench = Bench(load(Config, {}))
    bench.reader.start()
    mqtt, host = bench.sources
    mqtt.say("a", (5, 1.0))
    host.say("b", (6, 2.0))
    bench.reader.reconfigure(load(Config, {"host_interval_ms": 500, "series": {"a": {"unit": "Cel"}}}))
    bench.tick(1.0)
    assert [source.state for source in bench.sources] == ["open", "closed", "open"]
    assert isinstance(bench.source.settings, HostSettings)
    assert bench.source.settings.interval_ms == 500
    bench.tick(1.0)
    assert sorted(bench.values()) == [1.0, 2.0]
    described = {series.name: series.unit for batch in bench.batches() for series in batch.rows.series}  # type: ignore[union-attr]
    assert described == {"a": "Cel", "b": "m"}


def test_a_source_that_is_switched_off_is_closed() -> None:
    bench = Bench(load(Config, {}))
    bench.reader.start()
    bench.reader.reconfigure(CONFIG)
    bench.tick(1.0)
    assert [source.state for source in bench.sources] == ["closed", "open"]


def test_closing_reads_what_came_last_and_hands_it_over(bench: Bench) -> None:
    bench.source.say("a", (5, 1.0))
    bench.reader.close()
    assert bench.source.state == "closed"
    assert bench.values() == [1.0]


def test_a_reading_that_is_rejected_is_counted_and_disturbs_no_other(bench: Bench) -> None:
    def reject(sink: Sink) -> None:
        sink.reject("rejected_json", "topic t: no JSON")

    actions: list[Callable[[Sink], None]] = [reject, reject]
    bench.source.waiting += actions
    bench.source.say("a", (5, 1.0))
    bench.tick()
    bench.tick(0.3)
    assert bench.values() == [1.0]
    assert bench.runtime.counters["rejected_json"] == 2


def test_receipts_are_settled_once_the_readings_are_held(bench: Bench) -> None:
    settled: list[str] = []
    bench.source.say("a", (5, 1.0))
    bench.source.waiting.append(lambda sink: sink.receipt(lambda: settled.append("a")))
    bench.tick()
    bench.tick(0.3)
    assert settled == []
    bench.acknowledge(1)
    bench.tick()
    assert settled == ["a"]


def test_readings_that_could_not_be_cut_into_a_batch_stay_and_their_broker_is_not_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[str] = []
    bench.source.say("a", (5, 1.0), (6, 2.0))
    bench.source.waiting.append(lambda sink: sink.receipt(lambda: settled.append("a")))

    def short(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(readings_message, "encode", short)
    bench.tick()
    with pytest.raises(MemoryError):
        bench.tick(1.0)
    monkeypatch.undo()
    bench.source.say("b", (7, 3.0))
    bench.tick(1.0)
    assert settled == []
    bench.acknowledge(1)
    bench.tick()
    assert bench.values() == [1.0, 2.0, 3.0]
    assert settled == ["a"]
