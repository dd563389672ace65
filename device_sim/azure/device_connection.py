"""Connection of an authorized device to the stand-in of IoT Hub, with the rules that Microsoft documents.

Topics are those of the device only; a publication with QoS 2, on another topic, or of more than 256 KiB ends the
connection. RETAIN becomes the property ``mqtt-retain``, a will a message with the property ``iothub-MessageType``.
A device has five subscriptions at most, and is disconnected after one and a half keep-alive intervals without a packet.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, quote

from device_sim.azure import mqtt_packets
from device_sim.azure.device_queue import DeviceQueue
from device_sim.azure.mqtt_packets import ConnectRequest, Kind, ProtocolError, Will

MAX_MESSAGE_BYTES = 256 * 1024
MAX_PACKET_BYTES = MAX_MESSAGE_BYTES + 4_096
"""Longest packet: message, topic and header."""
MAX_SUBSCRIPTIONS = 5
METHODS_FILTER = "$iothub/methods/POST/#"
LONGEST_SILENCE_S = 1_767.0
"""Longest time without a packet after which a connection is closed, for any keep-alive interval."""
_FILTERS = (METHODS_FILTER, "$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#")
_RESPONSE = re.compile(r"\$iothub/methods/res/(?P<status>\d+)/\?\$rid=(?P<request>\w+)")
_RESPONSE_S, _PACKET_S, _TICK_S = 10.0, 10.0, 0.5
_REJECTED = 0x80

Receive = Callable[[str, dict[str, str], bytes], None]
"""Receives a device's message: its id, the properties and the payload; on a thread of the endpoint."""


class DeviceConnection:
    """One connection; ``waiting`` is the queue of the device, which outlives it, and is used under ``lock``."""

    def __init__(
        self,
        request: ConnectRequest,
        sock: ssl.SSLSocket,
        receive: Receive,
        waiting: DeviceQueue,
        lock: threading.RLock,
    ) -> None:
        self._name, self._sock, self._receive = request.client_id, sock, receive
        self._waiting, self._lock = waiting, lock
        self._events = f"devices/{self._name}/messages/events/"
        self._bound = f"devices/{self._name}/messages/devicebound/"
        self._clean = request.clean
        self._silence_s = min(1.5 * request.keepalive_s or LONGEST_SILENCE_S, LONGEST_SILENCE_S)
        self._will = request.will
        if self._will is not None and not self._will.topic.startswith(self._events):
            raise ProtocolError(f"will on {self._will.topic!r}")
        self._ids: Iterator[int] = itertools.cycle(range(1, 65_536))
        self._granted: dict[str, int] = {}
        if self._clean:
            waiting.subscribed_s = None
        elif waiting.subscribed_s is not None:
            self._granted[f"{self._bound}#"] = 1
        self._responses: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._wake, self._woken = socket.socketpair()
        for one in (self._wake, self._woken):
            one.setblocking(False)

    @property
    def resumed(self) -> bool:
        """True if the session of an earlier connection continues."""
        return bool(self._granted)

    def serve(self, expires_s: float) -> None:
        """Answer packets until the connection ends or the token expires; raises ProtocolError and OSError."""
        last_s, orderly = time.monotonic(), False
        try:
            while self._is_alive(last_s, expires_s):
                self._send_waiting()
                if not self._readable():
                    continue
                self._sock.settimeout(_PACKET_S)
                kind, flags, body = mqtt_packets.read(self._sock, MAX_PACKET_BYTES)
                last_s = time.monotonic()
                if kind == Kind.DISCONNECT:
                    orderly = True
                    return
                try:
                    self._answer(kind, flags, body)
                except (IndexError, UnicodeDecodeError) as error:
                    raise ProtocolError(f"malformed packet of type {kind}: {error}") from error
        finally:
            if self._will is not None and not orderly:
                self._send_will(self._will)
            self.close()
            self._wake.close()
            self._woken.close()

    def wake(self) -> None:
        """Have the thread of the connection send what waits; on any thread."""
        with contextlib.suppress(OSError):  # enough signals wait, or the connection has ended
            self._wake.send(b"\0")

    def _send_waiting(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._write(self._calls.get_nowait())
        granted = self._granted.get(f"{self._bound}#")
        if granted is None:
            return
        # The property names the receiver, as the hub's own messages do.
        topic = f"{self._bound}{quote('$.to', safe='')}={quote(f'/devices/{self._name}/messages/deviceBound', safe='')}"
        with self._lock:
            for message in self._waiting.take(time.monotonic()):
                repeated = bool(message.packet_id)
                message.packet_id = next(self._ids) if granted else 0
                self._write(mqtt_packets.publish(topic, message.payload, message.packet_id, repeated=repeated))
                if not granted:
                    self._waiting.remove(message)

    def call(self, method: str, payload: bytes) -> int | None:
        """Call a direct method; return the status of the response, None if the device does not respond."""
        request = str(next(self._ids))
        granted = self._granted.get(METHODS_FILTER)
        if granted is None:
            return None
        topic = f"{METHODS_FILTER[:-1]}{method}/?$rid={request}"
        self._calls.put(mqtt_packets.publish(topic, payload, next(self._ids) if granted else 0))
        self.wake()
        with contextlib.suppress(queue.Empty):
            while True:
                answered, status = self._responses.get(timeout=_RESPONSE_S)
                if answered == request:
                    return status
        return None

    def close(self) -> None:
        """End the connection, on any thread."""
        self._ended.set()
        with contextlib.suppress(OSError):
            # Not that of the TLS socket, which would read on without TLS.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _is_alive(self, last_s: float, expires_s: float) -> bool:
        silent_s = time.monotonic() - last_s
        return not self._ended.is_set() and time.time() < expires_s and silent_s < self._silence_s

    def _readable(self) -> bool:
        if self._sock.pending():
            return True
        readable, _, _ = select.select([self._sock, self._woken], [], [], _TICK_S)
        if self._woken in readable:
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(4_096)
        return self._sock in readable

    def _send_will(self, will: Will) -> None:
        properties = self._properties(will.topic, will.retain) | {"iothub-MessageType": "Will"}
        self._receive(self._name, properties, will.payload)

    def _properties(self, topic: str, retain: bool) -> dict[str, str]:
        properties = dict(parse_qsl(topic.removeprefix(self._events), keep_blank_values=True))
        return properties | ({"mqtt-retain": "true"} if retain else {})

    def _answer(self, kind: int, flags: int, body: bytes) -> None:
        if kind == Kind.PUBLISH:
            self._publication(flags, body)
        elif kind == Kind.PUBACK:
            with self._lock:
                self._waiting.complete(int.from_bytes(body[:2]))
        elif kind == Kind.SUBSCRIBE:
            self._subscription(body)
        elif kind == Kind.UNSUBSCRIBE:
            self._unsubscription(body)
        elif kind == Kind.PINGREQ:
            self._write(mqtt_packets.encode(Kind.PINGRESP, b""))
        else:
            raise ProtocolError(f"packet of type {kind}")

    def _publication(self, flags: int, body: bytes) -> None:
        topic, at = mqtt_packets.text(body, 0)
        qos, retain = flags >> 1 & 3, bool(flags & 1)
        packet_id, payload = body[at : at + 2], body[at + 2 :]
        if not qos:
            packet_id, payload = b"", body[at:]
        if qos > 1:
            raise ProtocolError(f"publication on {topic!r} with QoS {qos}")
        if (response := _RESPONSE.fullmatch(topic)) is not None:
            self._responses.put((response["request"], int(response["status"])))
        elif not topic.startswith(self._events):
            raise ProtocolError(f"publication on {topic!r}")
        elif len(payload) + len(topic) - len(self._events) > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"message of {len(payload)} bytes")
        else:
            self._receive(self._name, self._properties(topic, retain), payload)
        if packet_id:
            self._write(mqtt_packets.encode(Kind.PUBACK, packet_id))

    def _subscription(self, body: bytes) -> None:
        at, codes = 2, bytearray()
        while at < len(body):
            wanted, at = mqtt_packets.text(body, at)
            qos, at = min(1, body[at]), at + 1
            if wanted not in (f"{self._bound}#", *_FILTERS):
                raise ProtocolError(f"subscription to {wanted!r}")
            if wanted not in self._granted and len(self._granted) >= MAX_SUBSCRIPTIONS:
                codes.append(_REJECTED)
                continue
            codes.append(qos)
            with self._lock:
                self._granted[wanted] = qos
                if wanted == f"{self._bound}#" and self._waiting.subscribed_s is None:
                    self._waiting.subscribed_s = time.monotonic()
        self._write(mqtt_packets.encode(Kind.SUBACK, body[:2] + bytes(codes)))

    def _unsubscription(self, body: bytes) -> None:
        at = 2
        while at < len(body):
            topic, at = mqtt_packets.text(body, at)
            with self._lock:
                self._granted.pop(topic, None)
                if topic == f"{self._bound}#":
                    self._waiting.subscribed_s = None
        self._write(mqtt_packets.encode(Kind.UNSUBACK, body[:2]))

    def _write(self, packet: bytes) -> None:
        self._sock.settimeout(_PACKET_S)
        self._sock.sendall(packet)
