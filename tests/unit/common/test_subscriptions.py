"""Subscriptions are kept open in the background, despite failures of the nucleus."""

from __future__ import annotations

import logging
import random

import pytest

from edge_components.common.errors import BusError, UnauthorizedError, UnsupportedError
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.subscriptions import Kind, StreamEvents, Subscriptions, Target
from tests.fakes import FakeClock

TOPIC = Target(Kind.LOCAL, "strandline/v1/readings")
CORE = Target(Kind.IOT_CORE, "strandline/v1/gw/ack")


class FakeStream:
    def __init__(self, target: Target, events: StreamEvents) -> None:
        self.target, self.events, self.closed = target, events, False

    def close(self) -> None:
        self.closed = True


class Bench:
    """Subscriptions on streams that the test answers."""

    def __init__(self) -> None:
        self.counters, self.clock = Counters(), FakeClock()
        log = RateLimitedLog(self.counters, logging.getLogger("test"), self.clock)
        self.subscriptions = Subscriptions(self._open, self.clock, log, random.Random(1))
        self.streams: list[FakeStream] = []
        self.failure: BusError | None = None
        self.messages: list[bytes] = []

    def _open(self, target: Target, events: StreamEvents) -> FakeStream:
        if self.failure is not None:
            raise self.failure
        self.streams.append(FakeStream(target, events))
        return self.streams[-1]

    def handler(self, _topic: str, payload: bytes) -> None:
        self.messages.append(payload)

    def later(self, seconds: float, step: float = 1.0) -> None:
        """Advance the clock, with a tick every ``step`` seconds."""
        end = self.clock.mono + seconds
        while self.clock.mono < end:
            self.clock.advance(step)
            self.subscriptions.tick()


def test_a_subscription_that_cannot_begin_is_retried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.failure = BusError("not connected")
    subscription = bench.subscriptions.add(TOPIC, bench.handler)
    bench.later(600.0)
    assert not subscription.active
    assert bench.subscriptions.inactive() == ["topic strandline/v1/readings"]
    failures = bench.counters["subscriptions_failed"]
    assert 20 <= failures <= 60
    assert len(caplog.records) <= 12
    bench.failure = None
    bench.later(31.0)
    bench.streams[0].events.opened()
    assert subscription.active
    assert bench.subscriptions.inactive() == []
    assert bench.counters["subscriptions_established"] == 1


def test_a_response_after_hours_is_awaited_by_one_attempt() -> None:
    bench = Bench()
    subscription = bench.subscriptions.add(CORE, bench.handler)
    bench.later(3_500.0, step=10.0)
    assert len(bench.streams) == 1
    bench.streams[0].events.opened()
    bench.streams[0].events.received("t", b"1")
    assert subscription.active
    assert bench.messages == [b"1"]


def test_an_attempt_that_is_never_answered_is_ended_and_repeated() -> None:
    bench = Bench()
    bench.subscriptions.add(CORE, bench.handler)
    bench.later(3_700.0, step=10.0)
    assert bench.streams[0].closed
    assert len(bench.streams) == 2
    bench.streams[0].events.opened()
    assert bench.subscriptions.inactive() == [str(CORE)]


def test_a_stream_that_the_nucleus_closes_is_opened_again() -> None:
    bench = Bench()
    subscription = bench.subscriptions.add(TOPIC, bench.handler)
    bench.streams[0].events.opened()
    bench.streams[0].events.closed("the daemon was restarted")
    assert not subscription.active
    bench.later(2.0)
    bench.streams[1].events.opened()
    bench.streams[1].events.received("t", b"after")
    assert bench.messages == [b"after"]
    assert bench.counters["subscriptions_closed"] == 1
    assert bench.counters["subscriptions_established"] == 2


def test_a_renewal_opens_the_new_stream_before_it_closes_the_old_one() -> None:
    bench = Bench()
    subscription = bench.subscriptions.add(TOPIC, bench.handler)
    bench.streams[0].events.opened()
    bench.later(40.0)
    subscription.renew("no acknowledgement")
    bench.later(1.0)
    old, new = bench.streams
    assert not old.closed
    old.events.received("t", b"from the old")
    new.events.opened()
    assert old.closed
    new.events.received("t", b"from the new")
    old.events.closed("ended")
    assert subscription.active
    assert bench.messages == [b"from the old", b"from the new"]
    assert bench.counters["subscriptions_renewed"] == 1
    assert bench.counters["renewals_requested"] == 1


def test_a_rejected_renewal_keeps_the_old_stream() -> None:
    bench = Bench()
    subscription = bench.subscriptions.add(TOPIC, bench.handler)
    bench.streams[0].events.opened()
    bench.later(40.0)
    subscription.renew("no acknowledgement")
    bench.later(1.0)
    bench.streams[1].events.failed(BusError("offline"))
    bench.streams[0].events.received("t", b"still here")
    assert subscription.active
    assert bench.messages == [b"still here"]
    assert not bench.streams[0].closed


def test_a_silent_subscription_with_constant_traffic_is_renewed() -> None:
    bench = Bench()
    bench.subscriptions.add(TOPIC, bench.handler, expects_traffic=True)
    bench.streams[0].events.opened()
    bench.later(29.0)
    assert len(bench.streams) == 1
    bench.later(2.0)
    assert len(bench.streams) == 2


def test_an_unauthorized_subscription_is_logged_with_the_missing_permission_and_retried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.subscriptions.add(CORE, bench.handler)
    bench.streams[0].events.failed(UnauthorizedError("IPC Operation not authorized."))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    for part in (CORE.topic, "aws.greengrass#SubscribeToIoTCore", "aws.greengrass.ipc.mqttproxy", "accessControl"):
        assert part in record.getMessage()
    bench.later(2.0)
    assert len(bench.streams) == 2


@pytest.mark.parametrize("error", [UnsupportedError("no such operation"), UnauthorizedError("not allowed")])
def test_validation_of_updates_is_given_up_where_the_nucleus_lacks_it(error: BusError) -> None:
    bench = Bench()
    bench.subscriptions.add(Target(Kind.VALIDATION), bench.handler)
    bench.streams[0].events.failed(error)
    bench.later(600.0)
    assert len(bench.streams) == 1
    assert bench.subscriptions.inactive() == []
    assert bench.counters["subscriptions_failed"] == 0


def test_after_a_lost_connection_every_subscription_is_made_again_and_the_old_streams_do_not_count() -> None:
    bench = Bench()
    subscription = bench.subscriptions.add(TOPIC, bench.handler)
    bench.subscriptions.add(CORE, bench.handler)
    for stream in bench.streams:
        stream.events.opened()
    bench.subscriptions.disconnected()
    assert not subscription.active
    bench.streams[0].events.closed("gone")
    bench.later(1.0)
    assert [stream.target for stream in bench.streams[2:]] == [TOPIC, CORE]


def test_closing_ends_all_streams_and_events() -> None:
    bench = Bench()
    bench.subscriptions.add(TOPIC, bench.handler)
    bench.streams[0].events.opened()
    bench.subscriptions.close()
    bench.streams[0].events.received("t", b"late")
    bench.streams[0].events.closed("ended")
    bench.later(60.0)
    assert bench.streams[0].closed
    assert bench.messages == []
    assert len(bench.streams) == 1
