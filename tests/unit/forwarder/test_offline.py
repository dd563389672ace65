"""A gateway without internet spools from its start, and detects missing acknowledgements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_components.common.delivery import RETRANSMISSIONS
from tests.fakes import FakeSubscription
from tests.unit.forwarder.test_component import EPOCH, SENDER, Rig, aggregates
from wire import topics
from wire.acknowledgement import Acknowledgement
from wire.topics import Lane


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, batch_max_age_s=1.0, retry_first_s=5.0)
    yield rig
    rig.kill()


def subscription(rig: Rig) -> FakeSubscription:
    return rig.bus.core_subscriptions[topics.ack("gw-test")][0]


def acknowledge(rig: Rig, cumulative: int) -> None:
    rig.bus.deliver_from_core(topics.ack("gw-test"), Acknowledgement(EPOCH, cumulative).encode())


@pytest.mark.parametrize("lite", [True, False])
def test_a_gateway_that_boots_offline_spools_at_once_and_sends_when_it_is_online(rig: Rig, lite: bool) -> None:
    rig.bus.offline, rig.bus.lite = True, lite
    rig.offer(1, aggregates(4))
    rig.tick()
    assert rig.acks() == [Acknowledgement(SENDER, 1)]
    for _ in range(120):
        rig.tick(1.0)
    assert rig.waiting() == 1
    assert not subscription(rig).active
    rig.bus.offline = False
    for _ in range(15):
        rig.tick(1.0)
    assert subscription(rig).active
    assert rig.sent(topics.ingest("gw-test", Lane.BULK))
    acknowledge(rig, 1)
    assert rig.waiting() == 0


def test_missing_acknowledgements_renew_their_subscription(rig: Rig) -> None:
    subscription(rig).lost = True
    rig.offer(1, aggregates(4))
    rig.tick()
    began = rig.clock.mono
    while not subscription(rig).renewals and rig.clock.mono < began + 60:
        rig.tick(1.0)
        acknowledge(rig, 1)
    assert rig.runtime.counters["batches_sent_again"] == RETRANSMISSIONS
    assert rig.clock.mono < began + 40
    acknowledge(rig, 1)
    assert rig.waiting() == 0


def test_rejected_publications_do_not_renew_the_subscription(rig: Rig) -> None:
    rig.bus.offline = rig.bus.lite = True
    rig.offer(1, aggregates(4))
    for _ in range(600):
        rig.tick(1.0)
    assert subscription(rig).renewals == []
    assert rig.runtime.counters["publish_failed"] >= 5


def test_local_subscriptions_with_constant_traffic_are_renewed_when_they_are_silent(rig: Rig) -> None:
    expects = {topic: each[0].expects_traffic for topic, each in rig.bus.subscriptions.items()}
    assert expects == {topics.SCORED: True, topics.HEALTH: True}


def test_an_idle_forwarder_schedules_the_next_call_for_when_something_is_due(rig: Rig) -> None:
    rig.tick()
    assert rig.forwarder.tick() >= 1.0
    rig.offer(1, aggregates(4))
    rig.tick()
    assert 0.5 < rig.forwarder.tick() <= 1.0
    rig.tick(1.1)
    rig.tick(0.2)
    assert 2.0 < rig.forwarder.tick() <= 5.0
