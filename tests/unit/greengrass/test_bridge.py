"""Tests of the bridge to IoT Core by profile, with an in-memory client."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from device_sim.greengrass.bridge import Bridge
from device_sim.greengrass.errors import BridgeError
from device_sim.greengrass.profile import JAVA, LITE, Profile

SECONDS = 5.0
REFUSED = ReasonCode(PacketTypes.SUBACK, identifier=0x80)
GRANTED = ReasonCode(PacketTypes.SUBACK, identifier=1)


@dataclass
class Info:
    mid: int
    rc: int = mqtt.MQTT_ERR_SUCCESS


@dataclass
class FakeClient:
    """The methods of a connected client that the bridge uses."""

    sent: list[tuple[str, bool]] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    unsubscribed: list[str] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> Info:
        self.sent.append((topic, retain))
        return Info(len(self.sent))

    def subscribe(self, pattern: str, qos: int) -> tuple[int, int]:
        self.subscribed.append(pattern)
        return mqtt.MQTT_ERR_SUCCESS, len(self.subscribed)

    def unsubscribe(self, pattern: str) -> None:
        self.unsubscribed.append(pattern)

    def disconnect(self) -> None:
        """Do nothing."""

    def loop_stop(self) -> None:
        """Do nothing: there is not a thread."""


def bridge(profile: Profile) -> Bridge:
    return Bridge("gw", None, profile.uplink, lambda *_: None, logging.getLogger("strandline.test"))


def connect(target: Bridge) -> FakeClient:
    """Connect the bridge to a new client."""
    client = FakeClient()
    target._client, target._connected = client, True  # type: ignore[assignment]
    target._connected_once.set()
    target._pump()
    return client


def ignore(topic: str, payload: bytes) -> None:
    """Receive a message."""


async def steps(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_a_message_that_breaks_the_connection_each_time_blocks_no_other() -> None:
    async def test() -> None:
        target = bridge(JAVA)
        for topic in ("good/1", "forbidden", "good/2"):
            target.publish(topic, b"x", 1)
        delivered: list[str] = []
        for _ in range(50):
            client = connect(target)
            for mid, (topic, _) in enumerate(client.sent, 1):
                if topic == "forbidden":
                    break  # the broker closes the connection here and acknowledges nothing more
                delivered.append(topic)
                target._acknowledged(client, mid)  # type: ignore[arg-type]
            await target._disconnect()
        assert delivered == ["good/1", "good/2"]
        assert target._outbox.empty

    asyncio.run(test())


def test_acknowledgements_of_an_earlier_connection_do_not_count() -> None:
    async def test() -> None:
        target = bridge(JAVA)
        target.publish("t", b"x", 1)
        old = connect(target)
        await target._disconnect()
        connect(target)
        target._acknowledged(old, 1)  # type: ignore[arg-type]
        assert not target._outbox.empty

    asyncio.run(test())


def test_java_keeps_to_a_hundred_messages_a_second() -> None:
    async def test() -> None:
        target = bridge(JAVA)
        client = connect(target)
        for _ in range(150):
            target.publish("t", b"x", 1)
            target._acknowledged(client, len(client.sent))  # type: ignore[arg-type]
        assert 100 <= len(client.sent) < 110
        assert target._timer is not None
        await target._disconnect()

    asyncio.run(test())


@pytest.mark.parametrize(("profile", "passed"), [(JAVA, True), (LITE, False)])
def test_only_java_passes_the_retain_flag_on(profile: Profile, passed: bool) -> None:
    async def test() -> None:
        target = bridge(profile)
        client = connect(target)
        target.publish("t", b"x", 1, retain=True)
        assert client.sent == [("t", passed)]

    asyncio.run(test())


def test_lite_fails_a_subscription_at_once_while_offline() -> None:
    async def test() -> None:
        with pytest.raises(BridgeError, match="not connected to IoT Core"):
            async with asyncio.timeout(SECONDS):
                await bridge(LITE).subscribe("gw/ack", 1, ignore)

    asyncio.run(test())


def test_java_answers_a_subscription_after_the_first_connection_and_publishing_works() -> None:
    async def test() -> None:
        target = bridge(JAVA)
        waiting = asyncio.create_task(target.subscribe("gw/ack", 1, ignore))
        await steps()
        target.publish("t", b"x", 1)
        assert not waiting.done()
        client = connect(target)
        await steps()
        assert client.subscribed == ["gw/ack"]
        assert not waiting.done()
        target._granted(1, [GRANTED])
        async with asyncio.timeout(SECONDS):
            end = await waiting
        end()
        assert client.unsubscribed == ["gw/ack"]

    asyncio.run(test())


def test_java_fails_a_subscription_after_the_connection_was_lost() -> None:
    async def test() -> None:
        target = bridge(JAVA)
        connect(target)
        waiting = asyncio.create_task(target.subscribe("gw/ack", 1, ignore))
        await steps()
        await target._disconnect()
        for attempt in (waiting, asyncio.create_task(target.subscribe("gw/ack", 1, ignore))):
            with pytest.raises(BridgeError, match=r"the connection was lost|not connected"):
                async with asyncio.timeout(SECONDS):
                    await attempt

    asyncio.run(test())


def test_a_rejected_subscription_is_an_error_on_java_and_silent_on_lite() -> None:
    async def test() -> None:
        java = bridge(JAVA)
        connect(java)
        waiting = asyncio.create_task(java.subscribe("forbidden", 1, ignore))
        await steps()
        java._granted(1, [REFUSED])
        with pytest.raises(BridgeError, match="IoT Core rejects it"):
            async with asyncio.timeout(SECONDS):
                await waiting
        lite = bridge(LITE)
        connect(lite)
        await lite.subscribe("forbidden", 1, ignore)
        lite._granted(1, [REFUSED])

    asyncio.run(test())


def test_a_crash_of_iotcored_drops_subscriptions_and_unacknowledged_publishes_in_silence() -> None:
    async def test() -> None:
        target = bridge(LITE)
        received: list[str] = []
        connect(target)
        end = await target.subscribe("gw/ack", 1, lambda topic, _: received.append(topic))
        target.publish("t", b"x", 1)
        target._arrived("gw/ack", b"1")
        await target.crash()
        await target._disconnect()
        connect(target)
        target._arrived("gw/ack", b"2")
        assert received == ["gw/ack"]
        assert target._outbox.empty
        end()

    asyncio.run(test())


def test_a_message_over_5_000_bytes_breaks_lites_connection() -> None:
    async def test() -> None:
        received: list[int] = []
        target = bridge(LITE)
        connect(target)
        await target.subscribe("t", 1, lambda _, payload: received.append(len(payload)))
        target._arrived("t", bytes(4_991))
        assert not target._lost.is_set()
        target._arrived("t", bytes(4_992))
        assert target._lost.is_set()
        assert received == [4_991]

    asyncio.run(test())
