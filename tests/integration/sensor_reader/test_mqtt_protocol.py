"""Protocol cases that a real broker seldom causes, with a scripted one: QoS 2, only MQTT 3.1.1, refusals that end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from edge_components.sensor_reader.mqtt.subscriptions import FIRST_RETRY_S
from tests.unit.sensor_reader.fakes import Filters
from tests.unit.sensor_reader.mqtt_site import DEADLINE, Site

CONNECT, CONNACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, PUBREL, DISCONNECT = 0x10, 0x20, 0x80, 0x90, 0xA0, 0x62, 0xE0


class ScriptedBroker:
    """A broker on a real socket that answers as the test configures it, and keeps what the client sends."""

    def __init__(self, *, version5: bool = True, session_present: bool = False) -> None:
        self.version5, self.session_present = version5, session_present
        self.suback = 1
        self.refusal = b""
        """A CONNACK's body, if not empty."""
        self.suback_properties = b"\0"
        self.packets: list[bytes] = []
        self.connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def send(self, packet: bytes) -> None:
        """Send a packet to the client that connected last."""
        self.connections[-1].sendall(packet)

    def has(self, packet: bytes) -> bool:
        """Return whether the client has sent this packet."""
        return packet in self.packets

    def count(self, kind: int) -> int:
        """Return how many packets of a kind the client has sent."""
        return sum(packet[0] & 0xF0 == kind for packet in self.packets)

    def close(self) -> None:
        """End all connections and threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while packet := self._packet(stream):
                self.packets.append(packet)
                answer = self._answer(packet)
                if answer:
                    with contextlib.suppress(OSError):
                        connection.sendall(answer)
                if answer[:1] == b"\x20" and answer[3]:  # refused
                    return

    @staticmethod
    def _packet(stream: object) -> bytes:
        read = stream.read  # type: ignore[attr-defined]
        try:
            head = read(2)
            return b"" if len(head) < 2 else bytes(head + read(head[1]))
        except (OSError, ValueError):
            return b""

    def _answer(self, packet: bytes) -> bytes:
        kind = packet[0] & 0xF0
        mid = packet[2:4]
        properties = b"\0" if self.version5 else b""
        if kind == CONNECT:
            if self.refusal:
                return bytes((CONNACK, len(self.refusal))) + self.refusal
            if packet[8] == 5 and not self.version5:
                return bytes((CONNACK, 2, 0, 1))
            body = bytes((self.session_present, 0)) + properties
            return bytes((CONNACK, len(body))) + body
        if kind == SUBSCRIBE:
            filters = packet.count(b"+/+")
            body = mid + (self.suback_properties if self.version5 else b"") + bytes((self.suback,)) * filters
            return bytes((SUBACK, len(body))) + body
        if kind == UNSUBSCRIBE:
            body = mid + properties + (b"\0" if self.version5 else b"")
            return bytes((0xB0, len(body))) + body
        return b""


@contextlib.contextmanager
def connected(broker: ScriptedBroker, filters: Filters | None = None, **changes: object) -> Iterator[Site]:
    """Run a source on the broker."""
    site = Site(broker.port, filters, **changes)
    site.source.start()
    try:
        site.poll_until(lambda: site.counters["mqtt_connected"] == 1 and broker.count(SUBSCRIBE) > 0)
        yield site
    finally:
        site.source.close()
        broker.close()


def publish(qos: int, mid: int, payload: bytes, properties: bytes = b"\0") -> bytes:
    """Return a publication on sensors/a/x."""
    body = b"\0\x0bsensors/a/x" + (mid.to_bytes(2, "big") if qos else b"") + properties + payload
    return bytes((0x30 | qos << 1, len(body))) + body


def test_every_publication_is_acknowledged_with_its_own_qos_once_it_is_stored() -> None:
    broker = ScriptedBroker()
    with connected(broker) as site:
        site.sink.pending = []
        broker.send(publish(0, 0, b"1") + publish(1, 258, b"2") + publish(2, 259, b"3"))
        site.poll_until(lambda: len(site.sink.readings) == 3)
        sent = len(broker.packets)
        assert not any(packet[0] in (0x40, 0x50) for packet in broker.packets)
        for acknowledge in site.sink.pending:
            acknowledge()
        site.poll_until(lambda: len(broker.packets) > sent + 1)
        assert broker.has(b"\x40\2\1\2")
        assert broker.has(b"\x50\2\1\3")
        broker.send(b"\x62\2\1\3")
        site.poll_until(lambda: broker.has(b"\x70\2\1\3"))


def test_mqtt_3_1_1_is_used_with_a_broker_that_rejects_mqtt_5() -> None:
    broker = ScriptedBroker(version5=False)
    with connected(broker) as site:
        assert site.counters["mqtt_refused"] == 1
        broker.send(publish(1, 7, b"5", b""))
        site.poll_until(lambda: broker.has(b"\x40\2\0\7"))
        assert site.sink.readings[0][2] == 5.0


@pytest.mark.parametrize("version5", [True, False])
def test_a_rejected_unsubscription_is_detected(version5: bool) -> None:
    broker = ScriptedBroker(version5=version5)
    broker.suback = 0x80
    with connected(broker, version="5" if version5 else "3.1.1") as site:
        site.poll_until(lambda: site.counters["mqtt_subscription_rejected"] == 1)
        assert list(site.source.health()["refused_subscriptions"]) == ["sensors/+/+"]
        broker.suback = 1
        site.clock.advance(FIRST_RETRY_S)
        site.poll_until(lambda: "refused_subscriptions" not in site.source.health())
    assert broker.count(SUBSCRIBE) == 2


def test_the_reason_that_a_broker_of_mqtt_5_gives_is_reported() -> None:
    broker = ScriptedBroker()
    reason = b"\x1f\0\x0bfor testing"
    broker.suback, broker.suback_properties = 0x87, bytes((len(reason),)) + reason
    with connected(broker, version="5") as site:
        site.poll_until(lambda: site.counters["mqtt_subscription_rejected"] == 1)
        assert site.source.health()["refused_subscriptions"] == {"sensors/+/+": "Not authorized: for testing"}
    refusing = ScriptedBroker()
    refusing.refusal = b"\0\x8a" + bytes((len(reason),)) + reason
    site = Site(refusing.port, version="5")
    site.source.start()
    site.poll_until(lambda: site.counters["mqtt_refused"] >= 1)
    assert site.source.health()["failure"] == "the broker refuses the connection: Banned: for testing"
    site.source.close()
    refusing.close()


def _has_only_sensors(store: Filters) -> bool:
    return store.filters == {"sensors/+/+"}


def test_filters_of_a_former_process_are_unsubscribed_only_from_a_session_that_still_exists() -> None:
    for present in (True, False):
        broker, filters = ScriptedBroker(session_present=present), Filters({"old/#", "sensors/+/+"})
        with connected(broker, filters) as site:
            if present:
                site.poll_until(partial(_has_only_sensors, filters))
        assert filters.filters == {"sensors/+/+"}
        assert broker.count(UNSUBSCRIBE) == present


@pytest.mark.source_quality("malformed", "mqtt")
def test_a_broker_that_breaks_the_protocol_is_named_and_connected_to_again() -> None:
    broker = ScriptedBroker()
    with connected(broker) as site:
        broker.send(b"\x36\5\0\0\0\1x")
        site.poll_until(lambda: site.counters["mqtt_connected"] == 2)
        assert site.counters["mqtt_errors"] == 1


def test_an_unacknowledged_publication_of_a_lost_connection_is_not_acknowledged_on_the_next() -> None:
    broker = ScriptedBroker()
    with connected(broker) as site:
        site.sink.pending = []
        broker.send(publish(1, 9, b"1"))
        site.poll_until(lambda: len(site.sink.pending or []) == 1)
        broker.connections[-1].shutdown(socket.SHUT_RDWR)
        site.poll_until(lambda: site.counters["mqtt_connected"] == 2)
        site.sink.pending[0]()
        broker.send(publish(1, 10, b"2"))
        site.poll_until(lambda: len(site.sink.pending or []) == 2)
        site.sink.pending[1]()
        site.poll_until(lambda: broker.has(b"\x40\2\0\x0a"))
        assert not broker.has(b"\x40\2\0\x09")
