"""The bridge's queue, with a client that is told when it is connected."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import paho.mqtt.client as mqtt
import pytest

from device_sim.nucleus import bridge as module
from device_sim.nucleus.bridge import Bridge
from device_sim.nucleus.errors import BridgeError


@dataclass
class Info:
    mid: int
    rc: int = mqtt.MQTT_ERR_SUCCESS


@dataclass
class FakeClient:
    """What the bridge uses of a client that is connected."""

    sent: list[str] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, qos: int) -> Info:
        self.sent.append(topic)
        return Info(len(self.sent))

    def disconnect(self) -> None:
        """Nothing to end."""

    def loop_stop(self) -> None:
        """No thread."""


def bridge(queues: bool = True) -> Bridge:
    return Bridge("gw", None, queues, lambda *_: None, logging.getLogger("strandline.test"))


def connect(target: Bridge) -> FakeClient:
    """Connect the bridge to a new client, as its task would."""
    client = FakeClient()
    target._client, target._connected = client, True  # type: ignore[assignment]
    target._pump()
    return client


def test_what_cannot_be_queued_is_refused_with_the_reason() -> None:
    target = bridge()
    with pytest.raises(BridgeError, match="QoS 0 is not queued"):
        target.publish("t", b"", 0)
    with pytest.raises(BridgeError, match=r"not connected to IoT Core$"):
        bridge(queues=False).publish("t", b"", 1)
    for _ in range(20):
        target.publish("t", bytes(131_000), 1)
    with pytest.raises(BridgeError, match=r"is full \(2620020 of 2621440 bytes\)"):
        target.publish("t", bytes(131_000), 1)


def test_at_most_ten_are_unacknowledged() -> None:
    async def test() -> None:
        target = bridge()
        client = connect(target)
        for number in range(15):
            target.publish(f"t/{number}", b"x", 1)
        assert len(client.sent) == 10
        target._acknowledged(client, 1)  # type: ignore[arg-type]
        assert client.sent[-1] == "t/10"
        target._acknowledged(client, 1)  # type: ignore[arg-type]
        assert len(client.sent) == 11

    asyncio.run(test())


def test_a_message_that_breaks_the_connection_each_time_blocks_no_other() -> None:
    async def test() -> None:
        target = bridge()
        for topic in ("good/1", "forbidden", "good/2"):
            target.publish(topic, b"x", 1)
        delivered: list[str] = []
        for _ in range(50):
            client = connect(target)
            for mid, topic in enumerate(client.sent, 1):
                if topic == "forbidden":
                    break  # the broker closes the connection here, and acknowledges nothing more
                delivered.append(topic)
                target._acknowledged(client, mid)  # type: ignore[arg-type]
            await target._disconnect()
        assert delivered == ["good/1", "good/2"]
        assert not target._queue
        assert target._queued_bytes == 0

    asyncio.run(test())


def test_acknowledgements_of_an_earlier_connection_count_for_nothing() -> None:
    async def test() -> None:
        target = bridge()
        target.publish("t", b"x", 1)
        old = connect(target)
        await target._disconnect()
        connect(target)
        target._acknowledged(old, 1)  # type: ignore[arg-type]
        assert target._queued_bytes == len("t") + 1

    asyncio.run(test())


def test_the_pace_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IN_FLIGHT", 1_000)

    async def test() -> None:
        target = bridge()
        client = connect(target)
        for number in range(150):
            target.publish(f"t/{number}", b"x", 1)
        assert 100 <= len(client.sent) < 110
        assert target._timer is not None
        await target._disconnect()

    asyncio.run(test())
