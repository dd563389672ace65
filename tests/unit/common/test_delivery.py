"""Batches are sent until they are acknowledged, and missing acknowledgements renew their subscription."""

from __future__ import annotations

import logging
import random

import pytest

from edge_components.common.delivery import (
    RESEND_REQUEST,
    RETRANSMISSIONS,
    AcknowledgementWatch,
    BatchSender,
    PublishBackoff,
)
from edge_components.common.errors import BusError
from edge_components.common.handover import Outbox, RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from tests.fakes import FakeBus, FakeClock, FakeSubscription
from wire.acknowledgement import Acknowledgement


class Bench:
    def __init__(self) -> None:
        self.bus, self.clock, self.counters = FakeBus(), FakeClock(), Counters()
        rng = random.Random(1)
        self.outbox = Outbox(1, RetryPolicy(in_flight=4, first_s=2.0, longest_s=60.0), rng)
        log = RateLimitedLog(self.counters, logging.getLogger("test"), self.clock)
        self.sender = BatchSender(self.outbox, self.bus, "batches", "acks", self.counters, log, rng)
        self.sender.start()

    @property
    def subscription(self) -> FakeSubscription:
        return self.bus.subscriptions["acks"][0]

    def later(self, seconds: float) -> None:
        """Advance the clock like the loop: until the next due time of the sender."""
        end = self.clock.mono + seconds
        while self.clock.mono < end:
            self.clock.advance(min(1.0, max(self.sender.next_s(self.clock.mono), 0.001), end - self.clock.mono))
            self.sender.send_due(self.clock.mono)

    def acknowledge(self, *sequences: int) -> None:
        for at in sequences:
            self.bus.deliver("acks", Acknowledgement(1, 0, ((at, at),)).encode())


def test_a_batch_goes_at_once_and_again_until_it_is_acknowledged() -> None:
    bench = Bench()
    bench.outbox.add(b"one")
    assert bench.sender.next_s(bench.clock.mono) == 0.0
    bench.later(5.0)
    assert bench.bus.on("batches") == [b"one"] * 3
    bench.acknowledge(1)
    assert bench.sender.next_s(bench.clock.mono) == float("inf")
    assert bench.counters.snapshot() == {"batches_acknowledged": 1, "batches_sent": 1, "batches_sent_again": 2}


def test_a_round_reports_whether_all_of_its_batches_were_published() -> None:
    bench = Bench()
    assert not bench.sender.send_due(bench.clock.mono)
    bench.outbox.add(b"one")
    bench.outbox.add(b"two")
    assert bench.sender.send_due(bench.clock.mono)
    assert not bench.sender.send_due(bench.clock.mono)
    bench.bus.failure = BusError("refused")
    bench.outbox.add(b"three")
    assert not bench.sender.send_due(bench.clock.mono)


def test_only_the_last_message_of_a_round_is_marked() -> None:
    bench = Bench()
    for payload in (b"one", b"two", b"three"):
        bench.outbox.add(payload)
    bench.sender.send_due(bench.clock.mono, lambda payload: payload + b"!")
    assert bench.bus.on("batches") == [b"one", b"two", b"three!"]
    assert list(bench.outbox.held().values()) == [b"one", b"two", b"three"]


def test_no_acknowledgement_for_three_retransmissions_renews_the_subscription() -> None:
    bench = Bench()
    bench.subscription.lost = True
    bench.outbox.add(b"one")
    bench.later(1.5)
    assert bench.subscription.renewals == []
    bench.later(20.0)
    assert len(bench.subscription.renewals) >= 1
    bench.acknowledge(1)
    assert len(bench.outbox) == 0


def test_one_batch_that_is_never_acknowledged_while_others_are_renews_nothing() -> None:
    bench = Bench()
    bench.outbox.add(b"poison")
    for turn in range(2, 60):
        bench.outbox.add(b"fine")
        bench.later(2.0)
        bench.acknowledge(turn)
    assert bench.subscription.renewals == []
    assert bench.counters["batches_sent_again"] >= 2 * RETRANSMISSIONS


@pytest.mark.slow
def test_rejected_publications_are_paced_and_do_not_count_as_missing_acknowledgements() -> None:
    bench = Bench()
    bench.bus.failure = BusError("refused")
    for _ in range(50):
        bench.outbox.add(b"x")
    bench.later(120.0)
    assert bench.subscription.renewals == []
    assert 10 <= bench.counters["publish_failed"] <= 40
    bench.bus.failure = None
    bench.later(60.0)
    bench.acknowledge(1)
    bench.later(1.0)
    assert len(bench.bus.on("batches")) >= 5


def test_the_pause_after_rejected_publications_grows_to_ten_seconds_and_ends_by_a_success() -> None:
    backoff = PublishBackoff(random.Random(1))
    assert backoff.remaining(100.0) == 0.0
    pauses = []
    for _ in range(8):
        backoff.failed(100.0)
        pauses.append(backoff.remaining(100.0))
    assert 0.25 <= pauses[0] <= 0.5
    assert pauses[0] < pauses[2] < pauses[4]
    assert 5.0 <= pauses[-1] <= 10.0
    assert backoff.remaining(100.0 + pauses[-1] - 0.5) == pytest.approx(0.5)
    backoff.succeeded()
    assert backoff.remaining(100.0) == 0.0


def test_an_acknowledgement_that_cannot_be_read_is_counted_and_frees_nothing() -> None:
    bench = Bench()
    bench.outbox.add(b"one")
    bench.later(1.0)
    bench.bus.deliver("acks", b"\xff")
    assert bench.counters["acknowledgements_unreadable"] == 1
    assert len(bench.outbox) == 1


def test_the_watch_is_bounded() -> None:
    watch = AcknowledgementWatch()
    for batch in range(10_000):
        watch.published(batch, 2)
    assert len(watch._retransmissions) < 10_000


def test_a_request_to_send_again_makes_everything_unacknowledged_due_at_once() -> None:
    bench = Bench()
    for payload in (b"one", b"two"):
        bench.outbox.add(payload)
    bench.sender.send_due(bench.clock.mono)
    bench.sender.send_due(bench.clock.mono)
    assert bench.bus.on("batches") == [b"one", b"two"]
    bench.bus.deliver("acks", RESEND_REQUEST)
    assert bench.sender.next_s(bench.clock.mono) == 0.0
    bench.sender.send_due(bench.clock.mono)
    assert bench.bus.on("batches") == [b"one", b"two"] * 2


def test_a_renewed_subscription_to_acknowledgements_has_batches_sent_again() -> None:
    bench = Bench()
    bench.outbox.add(b"one")
    bench.sender.send_due(bench.clock.mono)
    bench.subscription.renew("silence")
    bench.sender.send_due(bench.clock.mono)
    assert bench.bus.on("batches") == [b"one"] * 2
