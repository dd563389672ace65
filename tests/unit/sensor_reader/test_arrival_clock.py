"""What arrives before the gateway's clock has the time gets the right time once it has."""

from __future__ import annotations

import logging

from edge_components.common.config import load
from edge_components.common.health import Counters
from edge_components.sensor_reader.arrival_clock import WAIT_SECONDS, ArrivalClock
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.sources.mqtt import Arrival, MqttSettings, MqttSource
from tests.fakes import FakeClock
from tests.unit.sensor_reader.test_mqtt import Sink

NOW_MS = 1_700_000_000_000


def test_a_clock_that_is_set_is_believed() -> None:
    clock = FakeClock(NOW_MS)
    assert ArrivalClock(clock).moment_ms(NOW_MS - 5, clock.monotonic()) == NOW_MS - 5


def test_before_the_clock_is_set_nothing_is_known_and_then_all_is() -> None:
    clock = FakeClock(60_000)
    arrivals = ArrivalClock(clock)
    came = clock.wall_ms(), clock.monotonic()
    clock.advance(40.0)
    assert arrivals.waiting
    assert arrivals.moment_ms(*came) is None
    clock.wall = NOW_MS
    assert not arrivals.waiting
    assert arrivals.moment_ms(*came) == NOW_MS - 40_000


def test_a_clock_that_never_gets_the_time_is_not_waited_for_for_ever() -> None:
    clock = FakeClock(60_000)
    arrivals = ArrivalClock(clock)
    clock.advance(WAIT_SECONDS)
    assert arrivals.moment_ms(60_000, clock.monotonic()) == 60_000


def publication(clock: FakeClock, mid: int, payload: bytes) -> Arrival:
    return Arrival("sensors/a/x", payload, len(payload), clock.wall_ms(), clock.monotonic(), False, mid, 0)


def source(clock: FakeClock, counters: Counters) -> MqttSource:
    settings = load(Config, {"host": False}).sources("gw")["mqtt"]
    assert isinstance(settings, MqttSettings)
    return MqttSource(settings, clock, counters, logging.getLogger("test"))


def test_publications_without_a_time_wait_unacknowledged_for_the_clock_and_others_do_not() -> None:
    clock, counters, sink = FakeClock(60_000), Counters(), Sink()
    mqtt = source(clock, counters)
    settled: list[int] = []
    sink.receipt = lambda settle: settled.append(1)  # type: ignore[method-assign]
    timed = b'{"value": 2, "time": %d}' % NOW_MS
    mqtt._waiting = [publication(clock, 1, b"1"), publication(clock, 2, timed)]
    clock.advance(10.0)
    mqtt.poll(sink)
    assert sink.readings == [("a.x", NOW_MS, 2.0)]
    assert len(settled) == 1, "the broker keeps the other one"
    clock.wall = NOW_MS + 10_000
    mqtt.poll(sink)
    assert sink.readings[1:] == [("a.x", NOW_MS, 1.0)]
    assert (len(settled), counters["readings_clock_unset"]) == (2, 0)


def test_without_a_clock_for_long_they_are_stamped_with_what_it_says_and_counted() -> None:
    clock, counters, sink = FakeClock(60_000), Counters(), Sink()
    mqtt = source(clock, counters)
    mqtt._waiting = [publication(clock, 1, b"1")]
    mqtt.poll(sink)
    assert sink.readings == []
    clock.advance(WAIT_SECONDS)
    mqtt.poll(sink)
    assert sink.readings == [("a.x", 60_000, 1.0)]
    assert counters["readings_clock_unset"] == 1
