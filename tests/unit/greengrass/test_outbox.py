"""Tests of the queue to IoT Core by profile: order, limits, and the effect of a reconnect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_sim.greengrass.errors import BridgeError
from device_sim.greengrass.outbox import MAX_ATTEMPTS, Outbox, Publish
from device_sim.greengrass.profile import JAVA, LITE


def send_all(outbox: Outbox) -> list[str]:
    """Send the publishes that are allowed now, with packet ids from 1; return the topics."""
    topics: list[str] = []
    while (publish := outbox.next()) is not None:
        topics.append(publish.topic)
        outbox.sent(len(topics))
    return topics


def test_java_queues_while_offline_up_to_its_limit_and_no_qos_0() -> None:
    outbox = Outbox(JAVA.uplink)
    with pytest.raises(BridgeError, match="QoS 0 is not queued"):
        outbox.add(Publish("t", b"", 0), connected=False)
    for _ in range(20):
        outbox.add(Publish("t", bytes(131_000), 1), connected=False)
    with pytest.raises(BridgeError, match=r"is full \(2620020 of 2621440 bytes\)"):
        outbox.add(Publish("t", bytes(131_000), 1), connected=False)


def test_java_sends_five_at_a_time_and_resends_after_a_reconnect() -> None:
    outbox = Outbox(JAVA.uplink)
    for number in range(8):
        outbox.add(Publish(f"t/{number}", b"x", 1), connected=True)
    assert send_all(outbox) == [f"t/{number}" for number in range(5)]
    assert outbox.acknowledged(1)
    assert not outbox.acknowledged(1)
    assert outbox.disconnected() == []
    assert send_all(outbox) == [f"t/{number}" for number in (1, 2, 3, 4, 5)]


def test_java_drops_a_publish_that_breaks_each_connection() -> None:
    outbox = Outbox(JAVA.uplink)
    outbox.add(Publish("forbidden", b"x", 1), connected=True)
    dropped: list[Publish] = []
    for _ in range(MAX_ATTEMPTS):
        assert send_all(outbox) == ["forbidden"]
        dropped += outbox.disconnected()
    assert [one.topic for one in dropped] == ["forbidden"]
    assert outbox.empty


@pytest.mark.parametrize("qos", [0, 1])
def test_lite_rejects_publishes_while_offline(qos: int) -> None:
    with pytest.raises(BridgeError, match=r"^not connected to IoT Core$"):
        Outbox(LITE.uplink).add(Publish("t", b"x", qos), connected=False)


def test_lite_rejects_the_eleventh_unacknowledged_publish() -> None:
    outbox = Outbox(LITE.uplink)
    for number in range(10):
        outbox.add(Publish(f"t/{number}", b"x", 1), connected=True)
    assert len(send_all(outbox)) == 10
    with pytest.raises(BridgeError, match="10 publishes are unacknowledged, at most 10 may be"):
        outbox.add(Publish("t", b"x", 1), connected=True)
    outbox.add(Publish("t", b"x", 0), connected=True)
    assert outbox.acknowledged(3)
    outbox.add(Publish("t", b"x", 1), connected=True)


def test_lite_keeps_15_000_bytes_of_unacknowledged_packets() -> None:
    outbox = Outbox(LITE.uplink)
    # Topic 1, payload, topic length 2, packet id 2, properties 1, fixed header 3.
    for _ in range(3):
        outbox.add(Publish("t", bytes(4_991), 1), connected=True)
    with pytest.raises(BridgeError, match="15008 bytes would be unacknowledged"):
        outbox.add(Publish("t", b"", 1), connected=True)


def test_the_size_of_a_packet_is_that_of_mqtt_5() -> None:
    assert Publish("a/b", bytes(100), 1).packet_bytes == 2 + 2 + 3 + 2 + 1 + 100
    assert Publish("a/b", bytes(1_000), 1).packet_bytes == 3 + 2 + 3 + 2 + 1 + 1_000


def test_lite_drops_unacknowledged_publishes_on_a_reconnect() -> None:
    outbox = Outbox(LITE.uplink)
    outbox.add(Publish("t", b"x", 1), connected=True)
    assert send_all(outbox) == ["t"]
    assert [one.topic for one in outbox.disconnected()] == ["t"]
    assert outbox.empty
    assert send_all(outbox) == []


def test_a_publish_that_may_break_the_connection_is_sent_alone() -> None:
    outbox = Outbox(replace(JAVA.uplink, in_flight=5))
    for topic in ("good/1", "forbidden", "good/2"):
        outbox.add(Publish(topic, b"x", 1), connected=True)
    for _ in range(2):
        send_all(outbox)
        outbox.disconnected()
    assert send_all(outbox) == ["good/1"]
