"""The uplink sends until it is acknowledged, urgent first."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_components.common.delivery import Transmitter
from edge_components.common.errors import BusError, ConnectionLostError
from edge_components.common.handover import RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.forwarder.profiles import Profiles
from edge_components.forwarder.spool.spool import Spool
from edge_components.forwarder.uplink import Rates, Uplink
from tests.fakes import FakeClock
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.topics import Lane

RATES = Rates()


class Line:
    """Publisher that records its messages and fails on demand."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.failure: BusError | None = None

    def __call__(self, topic: str, payload: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append((topic, payload))

    @property
    def bodies(self) -> list[bytes]:
        """Return the packed rows of a sent batch, between its name and its checksum."""
        return [payload[len(codec.seal("gw", 5, 1, b"")) - 4 : -4] for _, payload in self.sent]


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool.open(tmp_path / "spool.sqlite3", epoch=5, max_bytes=1_000_000)
    yield spool
    spool.close()


def make(
    spool: Spool,
    line: Line,
    counters: Counters,
    in_flight: int = 8,
    rates: Rates = RATES,
    first_s: float = 2.0,
    rules: str = topics.RULES,
    **options: Any,
) -> Uplink:
    policy, rng = RetryPolicy(in_flight, first_s=first_s, longest_s=600.0), random.Random(1)
    log = RateLimitedLog(counters, logging.getLogger("strandline.test"), FakeClock())
    transmitter = Transmitter(line, counters, log, rng)

    def topic(lane: Lane) -> str:
        return topics.ingest("gw", lane, rules)

    return Uplink(spool, transmitter, "gw", policy, rates, counters, rng, 0.0, topic, **options)


def put(spool: Spool, *payloads: bytes, lane: Lane = Lane.BULK) -> None:
    for payload in payloads:
        spool.put(lane, payload, 1, used_rows=0, created_ms=0)


def test_each_batch_goes_once_to_its_lane_s_topic(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, b"b1")
    put(spool, b"u1", lane=Lane.URGENT)
    uplink = make(spool, line, counters)
    uplink.pump(0.0)
    uplink.pump(0.1)
    assert [topic for topic, _ in line.sent] == [topics.ingest("gw", Lane.URGENT), topics.ingest("gw", Lane.BULK)]
    assert line.bodies == [b"u1", b"b1"]


def test_the_topics_have_the_rules_of_the_stack(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, b"b1")
    make(spool, line, counters, rules="plant_2").pump(0.0)
    assert [topic for topic, _ in line.sent] == ["$aws/rules/plant_2_bulk/strandline/v1/gw/bulk"]


def test_without_an_acknowledgement_it_is_sent_again_and_with_it_never(
    spool: Spool, line: Line, counters: Counters
) -> None:
    put(spool, b"b1", b"b2")
    uplink = make(spool, line, counters)
    uplink.pump(0.0)
    assert uplink.acknowledge(Acknowledgement(5, 0, ((2, 2),)), 0.5) == 1
    uplink.pump(2.1)
    assert line.bodies == [b"b1", b"b2", b"b1"]
    assert uplink.acknowledge(Acknowledgement(5, 2), 2.2) == 1
    uplink.pump(1_000.0)
    assert len(line.sent) == 3
    assert counters["batches_sent_again"] == 1
    assert counters["batches_acknowledged"] == 2


def test_bulk_leaves_slots_for_urgent_ones(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, *(b"b%d" % n for n in range(20)))
    uplink = make(spool, line, counters, in_flight=8)
    uplink.pump(0.0)
    assert len(line.sent) == 4
    put(spool, *(b"u%d" % n for n in range(5)), lane=Lane.URGENT)
    uplink.pump(0.1)
    assert line.bodies[4:] == [b"u0", b"u1", b"u2", b"u3"]


def test_after_a_restart_all_that_is_not_freed_is_sent_again(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, b"b1", b"b2")
    make(spool, line, counters).pump(0.0)
    make(spool, line, counters).pump(0.0)
    assert line.bodies == [b"b1", b"b2", b"b1", b"b2"]


def test_an_acknowledgement_for_the_process_before_frees_too(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, b"b1")
    make(spool, line, counters).pump(0.0)
    uplink = make(spool, line, counters)
    assert uplink.acknowledge(Acknowledgement(5, 1), 0.0) == 1
    uplink.pump(0.0)
    assert len(line.sent) == 1


def test_a_rejected_batch_is_sent_again_later(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, b"b1")
    uplink = make(spool, line, counters)
    line.failure = BusError("offline")
    uplink.pump(0.0)
    assert counters["publish_failed"] == 1
    line.failure = None
    uplink.pump(2.1)
    assert line.bodies == [b"b1"]


def test_no_batch_is_lost_while_the_nucleus_rejects_publications(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, b"b1", b"b2", b"b3", b"b4")
    uplink = make(spool, line, counters)
    line.failure = BusError("offline")
    for second in range(0, 300, 20):
        uplink.pump(float(second))
    line.failure = None
    uplink.pump(400.0)
    assert sorted(line.bodies) == [b"b1", b"b2", b"b3", b"b4"]


def test_after_a_refusal_the_uplink_pauses_for_a_moment(spool: Spool, line: Line, counters: Counters) -> None:
    for _ in range(20):
        put(spool, b"b")
    uplink = make(spool, line, counters)
    line.failure = ConnectionLostError("gone")
    for turn in range(100):
        uplink.pump(turn / 10)
    assert counters["publish_failed"] < 10
    assert 0 < uplink.next_s(9.9) <= 10.0
    line.failure = None
    uplink.pump(60.0)
    assert line.bodies


def test_ack_nucleus_frees_a_batch_when_the_nucleus_has_queued_it(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, b"b1")
    make(spool, line, counters, await_cloud=False).pump(0.0)
    assert spool.sent() == []


def test_another_epoch_s_acknowledgement_is_counted_and_frees_nothing(
    spool: Spool, line: Line, counters: Counters
) -> None:
    put(spool, b"b1")
    assert make(spool, line, counters).acknowledge(Acknowledgement(6, 9), 0.0) == 0
    assert counters["acknowledgements_of_another_epoch"] == 1


def test_no_more_than_the_pace_is_sent_however_much_waits(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, *(b"%d" % n for n in range(60)), lane=Lane.URGENT)
    uplink = make(spool, line, counters, in_flight=1000, rates=Rates(per_second=10.0), first_s=600.0)
    for tick in range(41):
        uplink.pump(tick * 0.05)
    assert len(line.sent) == 30


def test_the_backlog_is_sent_at_its_own_rate_while_live_batches_pass(
    spool: Spool, line: Line, counters: Counters
) -> None:
    put(spool, *(b"old%d" % n for n in range(10)), lane=Lane.BACKFILL)
    uplink = make(spool, line, counters, in_flight=100, rates=Rates(50.0, backfill_per_second=1.0), first_s=600.0)
    for second in range(4):
        put(spool, b"live%d" % second)
        uplink.pump(float(second))
    assert line.bodies == [b"live0", b"old0", b"live1", b"old1", b"live2", b"old2", b"live3", b"old3"]


def test_batches_of_an_earlier_process_are_sent_again_within_the_rate(
    spool: Spool, line: Line, counters: Counters
) -> None:
    put(spool, *(b"%d" % n for n in range(20)))
    make(spool, line, counters, in_flight=100).pump(0.0)
    again = make(spool, line, counters, in_flight=100, rates=Rates(per_second=5.0), first_s=600.0)
    for second in range(6):
        again.pump(float(second))
    assert sorted(line.bodies[20:40]) == sorted(b"%d" % n for n in range(20))


@pytest.mark.slow
def test_a_cloud_that_acknowledges_slowly_is_not_sent_each_batch_twice(
    spool: Spool, line: Line, counters: Counters
) -> None:
    """The acknowledgement comes 12 s after a batch, later than the first repetition after 5 s."""
    uplink = make(spool, line, counters, first_s=5.0)
    again = []
    for number in range(1, 31):
        start = 20.0 * number
        put(spool, b"b%d" % number)
        for tenth in range(120):
            uplink.pump(start + tenth / 10)
        assert uplink.acknowledge(Acknowledgement(5, number), start + 12.0) == 1
        again.append(counters["batches_sent_again"])
    assert again[0] >= 1
    assert again[-1] == again[3], "repetitions after the time was measured"


def test_a_lost_batch_is_sent_again_after_the_measured_time(spool: Spool, line: Line, counters: Counters) -> None:
    uplink = make(spool, line, counters, first_s=2.0)
    for number in range(1, 31):
        put(spool, b"b%d" % number)
        uplink.pump(100.0 * number)
        uplink.acknowledge(Acknowledgement(5, number), 100.0 * number + 1.9)
    put(spool, b"lost")
    uplink.pump(4000.0)
    uplink.pump(4002.8)
    assert line.bodies.count(b"lost") == 1
    uplink.pump(4004.0)
    assert line.bodies.count(b"lost") == 2


def test_after_a_restart_no_more_batches_are_in_flight_than_the_policy_allows(
    spool: Spool, line: Line, counters: Counters
) -> None:
    put(spool, *(b"b%d" % n for n in range(40)))
    spool.number(spool.unsent(Lane.BULK, 40))
    uplink = make(spool, line, counters, in_flight=8)
    for second in range(3):
        uplink.pump(0.1 * second)
        assert uplink.in_flight == 8
    assert line.bodies == [b"b%d" % n for n in range(8)]
    uplink.acknowledge(Acknowledgement(5, 3), 0.4)
    uplink.pump(0.5)
    assert uplink.in_flight == 8
    assert line.bodies[8:] == [b"b8", b"b9", b"b10"]


def test_new_bulk_batches_leave_room_for_those_of_an_earlier_process(
    spool: Spool, line: Line, counters: Counters
) -> None:
    put(spool, *(b"old%d" % n for n in range(3)))
    spool.number(spool.unsent(Lane.BULK, 3))
    put(spool, *(b"new%d" % n for n in range(6)))
    uplink = make(spool, line, counters, in_flight=8)
    for tenth in range(5):
        uplink.pump(tenth / 10)
    assert line.bodies == [b"old0", b"old1", b"old2", b"new0"]
    assert uplink.in_flight == 4, "four slots are reserved for urgent batches"


def test_retransmissions_keep_to_a_rate_of_one_batch_per_second(spool: Spool, line: Line, counters: Counters) -> None:
    put(spool, b"b1", b"b2", b"b3")
    spool.number(spool.unsent(Lane.BULK, 3))
    uplink = make(spool, line, counters, rates=Rates(1.0, 1.0), first_s=1_000.0)
    sent = []
    for tenth in range(25):
        uplink.pump(tenth / 10)
        sent.append(len(line.sent))
    assert sent == [1] * 10 + [2] * 10 + [3] * 5
    assert line.bodies == [b"b1", b"b2", b"b3"]


def test_a_batch_whose_profile_the_cloud_lacks_is_sent_again_at_once_and_complete(
    spool: Spool, line: Line, counters: Counters
) -> None:
    class Shortener(Profiles):
        def shorten(self, body: bytes) -> tuple[bytes, int | None]:
            return (body[:1], 77) if body.startswith(b"profiled") else (body, None)

    put(spool, b"profiled rows", b"other rows")
    profiles = Shortener(60.0, 4_900, counters, logging.getLogger("test"))
    uplink = make(spool, line, counters, first_s=1_000.0, profiles=profiles)
    uplink.pump(0.0)
    assert line.bodies == [b"p", b"other rows"]
    uplink.acknowledge(Acknowledgement(5, 0, ((2, 2),), unknown=(76,)), 0.1)
    uplink.pump(0.1)
    assert len(line.sent) == 2, "another profile is missing"
    uplink.acknowledge(Acknowledgement(5, 0, ((2, 2),), unknown=(77,)), 0.2)
    assert uplink.next_s(0.2) <= 0.1
    uplink.pump(0.2)
    assert line.bodies[2:] == [b"profiled rows"]
    assert counters["batches_sent_again"] == 1
    uplink.pump(0.3)
    assert len(line.sent) == 3


def test_two_requests_for_one_profile_repeat_a_batch_once(spool: Spool, line: Line, counters: Counters) -> None:
    class Shortener(Profiles):
        def shorten(self, body: bytes) -> tuple[bytes, int | None]:
            return body[:1], 77

    put(spool, b"profiled rows")
    profiles = Shortener(60.0, 4_900, counters, logging.getLogger("test"))
    uplink = make(spool, line, counters, first_s=1_000.0, profiles=profiles)
    uplink.pump(0.0)
    for _ in range(2):
        uplink.acknowledge(Acknowledgement(5, 0, (), unknown=(77,)), 0.1)
    for tenth in range(1, 10):
        uplink.pump(tenth / 10)
    assert line.bodies == [b"p", b"profiled rows"]


def test_a_batch_that_was_dropped_from_the_spool_is_not_waited_for(
    spool: Spool, line: Line, counters: Counters
) -> None:
    put(spool, b"old")
    uplink = make(spool, line, counters)
    uplink.pump(0.0)
    assert uplink.in_flight == 1
    spool.drop_oldest()
    uplink.pump(10.0)
    assert uplink.in_flight == 0
    assert uplink.next_s(11.0) == float("inf")
