"""Tests of the rules of IoT Hub's endpoint for devices, with packets of MQTT over TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest

from device_sim.azure import mqtt_packets
from device_sim.azure.device_connection import MAX_MESSAGE_BYTES
from device_sim.azure.device_endpoint import DeviceEndpoint
from device_sim.azure.device_queue import MAX_MESSAGES
from device_sim.azure.iot_hub import Rate
from device_sim.azure.mqtt_packets import Kind
from device_sim.chaos.certificates import Authority
from tests.waiting import until

HOST, DEVICE = "127.0.0.1", "gw-1"
EVENTS, BOUND = f"devices/{DEVICE}/messages/events/", f"devices/{DEVICE}/messages/devicebound/"


def field(text: str) -> bytes:
    return len(text).to_bytes(2) + text.encode()


class Hub:
    """The endpoint with one device that has a certificate, and the messages that it received."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        server = authority.server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.cert, server.key)
        context.load_verify_locations(authority.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.endpoint = DeviceEndpoint(HOST, context, {DEVICE: None}, self._receive)

    def _receive(self, _device: str, properties: dict[str, str], payload: bytes) -> None:
        self.received.append((properties, payload))

    @contextlib.contextmanager
    def connection(self, certificate: str = DEVICE) -> Iterator[Device]:
        """Open a TLS connection with the certificate of a device, without one if the name is empty."""
        context = ssl.create_default_context(cafile=self.authority.ca)
        if certificate:
            pair = self.authority.gateway(certificate)
            context.load_cert_chain(pair.cert, pair.key)
        with (
            socket.create_connection((HOST, self.endpoint.port), 10) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as sock,
        ):
            yield Device(sock)


class Device:
    """A connection of a device."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock

    def connect(self, *, clean: bool = True, will: str = "", keepalive_s: int = 60) -> tuple[int, bytes]:
        """Send CONNECT and return the answer."""
        flags = 0x80 | (0x02 if clean else 0) | (0x2C if will else 0)  # a will has QoS 1 and RETAIN
        body = field("MQTT") + bytes((4, flags)) + keepalive_s.to_bytes(2) + field(DEVICE)
        if will:
            body += field(will) + field("gone")
        body += field(f"{HOST}/{DEVICE}/?api-version=2021-04-12")
        self.send(mqtt_packets.encode(Kind.CONNECT, body))
        return self.read()

    def subscribe(self, topic: str = f"{BOUND}#", qos: int = 1) -> tuple[int, bytes]:
        """Send SUBSCRIBE and return the answer."""
        self.send(mqtt_packets.encode(Kind.SUBSCRIBE, b"\0\1" + field(topic) + bytes((qos,)), 2))
        return self.read()

    def send(self, packet: bytes) -> None:
        """Send a packet."""
        self._sock.sendall(packet)

    def read(self) -> tuple[int, bytes]:
        """Return type and body of the next packet."""
        kind, _, body = mqtt_packets.read(self._sock, 1_000_000)
        return kind, body

    def is_closed(self) -> bool:
        """Return True if the hub closes the connection before it sends a packet."""
        try:
            self.read()
        except OSError:
            return True
        return False


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def hub(authority: Authority) -> Iterator[Hub]:
    made = Hub(authority)
    with made.endpoint:
        yield made


CONNECTED, NOT_AUTHORIZED = (Kind.CONNACK, b"\0\0"), (Kind.CONNACK, b"\0\5")


@pytest.mark.parametrize("certificate", ["", "gw-2"])
def test_a_device_needs_its_own_certificate(hub: Hub, certificate: str) -> None:
    with hub.connection(certificate) as device:
        assert device.connect() == NOT_AUTHORIZED
    until(lambda: hub.endpoint.refused == [f"the certificate is that of {certificate!r}"], lambda: hub.endpoint.refused)


@pytest.mark.parametrize(
    "packet",
    [
        mqtt_packets.encode(Kind.PUBLISH, field(EVENTS) + b"\0\1x", 4),
        mqtt_packets.publish("devices/gw-2/messages/events/", b"x", 1),
        mqtt_packets.publish(EVENTS, bytes(MAX_MESSAGE_BYTES + 1), 1),
        mqtt_packets.encode(Kind.SUBSCRIBE, b"\0\1" + field("devices/gw-2/messages/devicebound/#") + b"\1", 2),
        mqtt_packets.encode(Kind.SUBSCRIBE, b"\0\1" + field("#") + b"\1", 2),
        mqtt_packets.encode(Kind.PUBLISH, b"\0"),
    ],
    ids=["QoS 2", "another device", "too long", "another device's messages", "all topics", "malformed"],
)
def test_the_hub_closes_the_connection_of_a_device_that_breaks_its_rules(hub: Hub, packet: bytes) -> None:
    with hub.connection() as device:
        assert device.connect() == CONNECTED
        device.send(packet)
        assert device.is_closed()
    until(lambda: len(hub.endpoint.refused) == 1, lambda: hub.endpoint.refused)
    assert hub.received == []


def test_the_longest_message_is_accepted_and_retain_becomes_a_property(hub: Hub) -> None:
    with hub.connection() as device:
        device.connect()
        packet = bytearray(mqtt_packets.publish(EVENTS, bytes(MAX_MESSAGE_BYTES), 9))
        packet[0] |= 1
        device.send(bytes(packet))
        assert device.read() == (Kind.PUBACK, b"\0\11")
    assert hub.received == [({"mqtt-retain": "true"}, bytes(MAX_MESSAGE_BYTES))]


@pytest.mark.parametrize("orderly", [False, True])
def test_a_will_becomes_a_message_if_the_connection_ends_without_disconnect(hub: Hub, orderly: bool) -> None:
    with hub.connection() as device:
        assert device.connect(will=f"{EVENTS}a=1") == CONNECTED
        if orderly:
            device.send(mqtt_packets.encode(Kind.DISCONNECT, b""))
            assert device.is_closed()
    expected = [] if orderly else [({"a": "1", "mqtt-retain": "true", "iothub-MessageType": "Will"}, b"gone")]
    until(lambda: hub.received == expected, lambda: hub.received)


def test_a_second_connection_of_a_device_ends_the_first(hub: Hub) -> None:
    with hub.connection() as first, hub.connection() as second:
        first.connect()
        assert second.connect() == CONNECTED
        assert first.is_closed()
        second.send(mqtt_packets.encode(Kind.PINGREQ, b""))
        assert second.read() == (Kind.PINGRESP, b"")


def test_a_device_that_is_silent_for_one_and_a_half_intervals_is_disconnected(hub: Hub) -> None:
    with hub.connection() as device:
        device.connect(keepalive_s=1)
        assert device.is_closed()
    assert hub.endpoint.refused == []


def test_a_message_is_removed_by_its_confirmation_and_sent_again_to_a_resumed_session(hub: Hub) -> None:
    with hub.connection() as device:
        device.connect(clean=False)
        assert device.subscribe(qos=2) == (Kind.SUBACK, b"\0\1\1")
        assert hub.endpoint.send(DEVICE, b"one")
        kind, body = device.read()
        topic, at = mqtt_packets.text(body, 0)
        assert (kind, topic.startswith(BOUND), body[at + 2 :]) == (Kind.PUBLISH, True, b"one")
        device.send(mqtt_packets.encode(Kind.PUBACK, body[at : at + 2]))
        until(lambda: hub.endpoint.waiting(DEVICE) == 0, lambda: hub.endpoint.waiting(DEVICE))
    assert hub.endpoint.send(DEVICE, b"two")
    with hub.connection() as device:
        assert device.connect(clean=False) == (Kind.CONNACK, b"\1\0")
        assert device.read()[1].endswith(b"two")


def test_a_clean_session_receives_nothing_that_was_sent_before_its_subscription(hub: Hub) -> None:
    assert hub.endpoint.send(DEVICE, b"early")
    with hub.connection() as device:
        device.connect()
        device.subscribe()
        assert hub.endpoint.send(DEVICE, b"late")
        assert device.read()[1].endswith(b"late")
    assert hub.endpoint.waiting(DEVICE) == 2


def test_a_device_that_is_not_connected_has_a_limited_number_of_waiting_messages(hub: Hub) -> None:
    assert [hub.endpoint.send(DEVICE, b"") for _ in range(MAX_MESSAGES + 1)] == [True] * MAX_MESSAGES + [False]


def test_a_hub_accepts_a_minutes_number_of_messages_at_once_and_then_their_rate() -> None:
    rate = Rate(100)
    assert [rate.take(1_000.0) for _ in range(101)] == [True] * 100 + [False]
    assert [rate.take(1_001.0) for _ in range(2)] == [True, False]
