"""Publications become readings and are acknowledged, despite invalid ones, with an in-memory connection."""

from __future__ import annotations

import logging
import math

import pytest

from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.sensor_reader.arrival_clock import WAIT_SECONDS
from edge_components.sensor_reader.mqtt.flow import FIRST_GAP_S, USUAL_GAPS
from edge_components.sensor_reader.sources.mqtt import MqttSource, read_entry
from tests.fakes import FakeClock
from tests.unit.sensor_reader.fakes import FakeConnection, Sink

NOW_MS = 1_700_000_000_000
FIRST_PAUSE_S = FIRST_GAP_S * USUAL_GAPS


class Bench:
    """A source on fakes; ``wall_ms`` is the gateway's clock at the start."""

    def __init__(self, wall_ms: int = NOW_MS, **changes: object) -> None:
        self.clock, self.counters = FakeClock(wall_ms), Counters()
        self.sink, self.connection = Sink(self.clock), FakeConnection(self.clock)
        log = RateLimitedLog(self.counters, logging.getLogger("test"), self.clock)
        entry = read_entry(changes)
        self.source = MqttSource(entry, self.clock, log, self.connection)

    def publish(
        self, *publications: tuple[str, bytes], qos: int = 1, retain: bool = False, unread_ms: float = 0.0
    ) -> None:
        self.connection.publish(*publications, qos=qos, retain=retain, unread_ms=unread_ms)
        self.source.poll(self.sink)

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.source.poll(self.sink)

    @property
    def values(self) -> list[float]:
        return [value for _, _, value in self.sink.readings]

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.sink.rejected]


def test_one_that_is_rejected_neither_shifts_nor_delays_the_others_and_all_are_acknowledged() -> None:
    bench = Bench()
    bench.publish(
        ("sensors/a/x", b"1"),
        ("sensors/a/x", b"[1"),
        ("sensors/b/x", b"2]"),
        ("elsewhere", b"3"),
        ("sensors/b/x", b'{"value": 4, "time": 1700000000005}'),
        ("sensors/b/x", b""),
        ("sensors/c/x", b"5"),
    )
    assert bench.sink.readings == [
        ("a.x", NOW_MS - 1, 1.0),
        ("b.x", 1_700_000_000_005, 4.0),
        ("c.x", NOW_MS, 5.0),
    ]
    assert bench.reasons == ["rejected_json", "rejected_json", "rejected_topic"]
    assert bench.counters["payloads_empty"] == 1
    assert bench.connection.acknowledged == list(range(1, 8))


def test_many_payloads_at_once_give_the_same_readings_as_one_by_one() -> None:
    together, alone = Bench(), Bench()
    publications = [(f"sensors/d{at % 7}/x", b'{"value": %d, "time": %d}' % (at, NOW_MS + at)) for at in range(500)]
    together.publish(*publications)
    together.publish(*publications)
    for _ in range(2):
        for publication in publications:
            alone.publish(publication)
    assert together.sink.readings == alone.sink.readings
    assert together.connection.acknowledged == alone.connection.acknowledged == list(range(1, 1001))


@pytest.mark.parametrize("time", [b"1700000000", b"1700000000.5", b'"2023-11-14T22:13:20Z"', b"1700000000000000"])
def test_times_in_other_forms_are_read_too(time: bytes) -> None:
    bench = Bench()
    for _ in range(2):
        bench.publish(("sensors/a/x", b'{"value": 1, "time": %s}' % time), ("sensors/a/x", b"2"))
    assert [time_ms // 1000 for _, time_ms, _ in bench.sink.readings] == [NOW_MS // 1000] * 4


@pytest.mark.parametrize("payload", [b"21.5", b'{"value": 21.5}', b'[{"n": "x", "v": 21.5, "t": -1}]'])
def test_equal_values_without_a_time_that_are_read_together_have_different_times(payload: bytes) -> None:
    """Otherwise the aggregator would take them for one reading."""
    bench = Bench(topics=[{"topic": "sensors/{device}/#", "format": "senml+json"}]) if payload[:1] == b"[" else Bench()
    for _ in range(2):  # of a new series, and of a known one
        before = bench.clock.wall_ms() - (1000 if payload[:1] == b"[" else 0)
        bench.publish(*[("sensors/a/x", payload)] * 5, unread_ms=250)
        times = [time_ms for _, time_ms, _ in bench.sink.readings]
        assert times == [before - one for one in (200, 150, 100, 50, 0)]
        bench.sink.readings.clear()
        bench.wait(1.0)


def test_a_time_in_the_future_is_rejected_among_others_that_are_not() -> None:
    bench = Bench(unusable_time="reject")
    for _ in range(2):
        bench.publish(
            ("sensors/a/x", b'{"value": 1, "time": %d}' % NOW_MS),
            ("sensors/a/x", b'{"value": 2, "time": %d}' % (NOW_MS + 10**9)),
        )
    assert bench.values == [1.0, 1.0]
    assert bench.reasons == ["rejected_future"] * 2


def test_acknowledgements_wait_until_the_readings_are_stored() -> None:
    bench = Bench()
    bench.sink.pending = []
    bench.publish(("sensors/a/x", b"1"), ("sensors/b/x", b"2"))
    bench.publish(("sensors/a/x", b"3"), qos=0)
    assert bench.connection.acknowledged == []
    for acknowledge in bench.sink.pending:
        acknowledge()
    assert bench.connection.acknowledged == [1, 2]


def test_publications_of_a_former_connection_are_not_acknowledged_on_the_next() -> None:
    bench = Bench()
    bench.sink.pending = []
    bench.publish(("sensors/a/x", b"1"))
    bench.connection.number = 2
    bench.publish(("sensors/a/x", b"1"))
    first, second = bench.sink.pending
    first()
    assert bench.connection.acknowledged == []
    second()
    assert bench.connection.acknowledged == [2]


def test_a_full_window_blocks_the_broker_until_it_is_acknowledged() -> None:
    bench = Bench(inflight=3)
    bench.sink.pending = []
    bench.publish(("sensors/a/x", b"1"), ("sensors/a/x", b"2"))
    assert (bench.source.blocked(), bench.connection.woken_after) == (False, 1)
    bench.publish(("sensors/a/x", b"3"))
    assert bench.source.blocked()
    for acknowledge in bench.sink.pending:
        acknowledge()
    assert not bench.source.blocked()


def test_a_pause_while_publications_wait_may_be_a_blocked_broker() -> None:
    bench = Bench(inflight=1_000)
    bench.sink.pending = []
    bench.publish(*[("sensors/a/x", b"1")] * 20)
    assert (bench.source.blocked(), bench.source.next_poll_s()) == (False, FIRST_PAUSE_S)
    bench.wait(FIRST_PAUSE_S)
    assert bench.source.blocked()
    assert bench.source.next_poll_s() == math.inf


def test_a_moved_device_loses_nothing_once_its_old_topic_is_silent() -> None:
    bench = Bench(topics=["line1/{device}", "line2/{device}"])
    for value in range(4):
        bench.publish(("line1/pump", b"%d" % value))
        bench.clock.advance(1.0)
    for value in range(4, 20):
        bench.publish(("line2/pump", b"%d" % value))
        bench.clock.advance(1.0)
    assert bench.values == [float(value) for value in range(20)]
    assert bench.reasons == []
    assert sorted(bench.connection.acknowledged) == list(range(1, 21))
    bench.publish(("line1/other", b"1"))
    assert bench.sink.readings[-1][0] == "other"


def test_two_topics_that_are_alive_at_once_are_reported_with_both_and_both_are_read() -> None:
    bench = Bench(topics=["line1/{device}", "line2/{device}"])
    for _ in range(30):
        bench.publish(("line1/pump", b"1"))
        bench.clock.advance(0.5)
        bench.publish(("line2/pump", b"2"))
        bench.clock.advance(0.5)
    bench.publish(("line1/pump", b"1"))
    bench.wait(0.1)
    ((own, first, second),) = bench.sink.collisions
    assert (first, second) == ("line1/pump", "line2/pump")
    assert own.startswith("pump:")
    found = [(name, value) for name, _, value in bench.sink.readings]
    assert (found.count(("pump", 1.0)), found.count((own, 2.0)), len(found)) == (31, 30, 61)
    assert bench.reasons == []
    assert sorted(bench.connection.acknowledged) == list(range(1, 62))


def test_publications_held_by_a_collision_do_not_block_the_window() -> None:
    bench = Bench(topics=["line1/{device}", "line2/{device}"], inflight=20)
    bench.publish(("line1/pump", b"1"))
    bench.clock.advance(0.5)
    bench.publish(*[("line2/pump", b"2")] * 20)
    assert len(bench.values) == 16
    assert bench.source.health()["held_back"] == 5
    bench.wait(0.1)
    assert (len(bench.values), bench.reasons) == (21, [])


def test_a_second_topic_has_the_same_name_after_a_restart_in_the_same_order() -> None:
    names = []
    for _ in range(2):
        bench = Bench(topics=["line1/{device}", "line2/{device}"], inflight=1)
        bench.publish(("line1/pump", b"1"))
        bench.publish(("line2/pump", b"2"))
        bench.clock.advance(0.5)
        bench.publish(("line1/pump", b"1"))
        bench.wait(0.1)
        names.append({name for name, _, _ in bench.sink.readings})
    assert names[0] == names[1]
    assert len(names[0]) == 2


def test_units_of_payloads_are_used_and_a_configured_one_replaces_them() -> None:
    bench = Bench(topics=["a/{device}", {"topic": "b/{device}", "value": ["t", "x.h"], "fields": {"t": {"unit": "K"}}}])
    bench.publish(
        ("a/1", b'{"value": 1, "unit": "bar"}'),
        ("a/2", b'"21.5 kWh"'),
        ("a/3", b'{"value": 1, "unit": "\\u0007 \\ud83d\\ude00 way too long for a unit of a series"}'),
        ("a/4", b"4"),
        ("b/1", b'{"t": 290, "x": {"h": 40, "unit": "%RH"}, "unit": "Cel"}'),
    )
    units = {one.name: one.unit for one in (bench.sink.registry[at] for at in range(6))}
    assert units["1.t"] == "K"
    assert units["1.x.h"] == "%RH"
    assert [units[str(at)] for at in (1, 2, 4)] == ["bar", "kWh", ""]
    assert units["3"].startswith("\U0001f600 way")
    assert len(units["3"].encode()) <= 32
    assert bench.reasons == []


def test_a_rejection_has_topic_reason_and_the_first_bytes_and_null_is_counted_as_such() -> None:
    bench = Bench(topics=[{"topic": "a/{device}", "value": "**", "text_values": "skip"}, "b/{device}"])
    bench.publish(("b/1", b'{"value": "warm"}'), ("a/1", b'{"x": null, "y": "text", "z": 1}'), ("c", b"\x00\xffabc"))
    (first, text), (second, other) = bench.sink.rejected
    assert (first, second) == ("rejected_value", "rejected_topic")
    assert "topic 'b/1'" in text
    assert 'payload b\'{"value": "warm"}\'' in text
    assert "payload b'\\x00\\xffabc'" in other
    assert (bench.counters["rejected_null"], bench.counters["fields_skipped"], bench.values) == (1, 1, [1.0])


def test_held_publications_are_dropped_with_their_connection() -> None:
    bench = Bench(topics=["line1/{device}", "line2/{device}"])
    bench.publish(("line1/pump", b"1"))
    bench.publish(("line2/pump", b"2"))
    bench.connection.number = 2
    bench.publish(("line2/pump", b"2"))
    bench.wait(100.0)
    assert bench.values == [1.0, 2.0]


def test_a_retained_payload_counts_only_with_its_time() -> None:
    bench = Bench()
    bench.publish(("sensors/a/x", b"1"), ("sensors/a/x", b'{"value": 2, "time": %d}' % NOW_MS), retain=True)
    assert (bench.values, bench.reasons) == ([2.0], ["rejected_retained"])


def test_a_removed_topic_is_assigned_again() -> None:
    bench = Bench()
    bench.publish(("sensors/a/x", b"1"))
    bench.sink.registry.release("mqtt")
    bench.source.forget("sensors/a/x")
    bench.publish(("sensors/a/x", b"2"))
    assert bench.values == [1.0, 2.0]


def test_publications_without_a_time_wait_unacknowledged_for_the_clock_and_others_do_not() -> None:
    bench = Bench(wall_ms=60_000)
    bench.publish(("sensors/a/x", b"1"), ("sensors/a/x", b'{"value": 2, "time": %d}' % NOW_MS))
    bench.wait(10.0)
    assert bench.sink.readings == [("a.x", NOW_MS, 2.0)]
    assert bench.connection.acknowledged == [2]
    bench.clock.wall = NOW_MS + 10_000
    bench.source.poll(bench.sink)
    assert bench.sink.readings[1:] == [("a.x", NOW_MS - 1, 1.0)]
    assert bench.connection.acknowledged == [2, 1]
    assert bench.counters["readings_clock_unset"] == 0


def test_when_the_clock_never_gets_the_time_they_are_stamped_with_it_as_it_is_and_counted() -> None:
    bench = Bench(wall_ms=60_000)
    bench.publish(("sensors/a/x", b"1"))
    assert bench.sink.readings == []
    bench.wait(WAIT_SECONDS)
    assert bench.sink.readings == [("a.x", 60_000, 1.0)]
    assert bench.counters["readings_clock_unset"] == 1
