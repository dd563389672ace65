"""Stand-in of the MQTT endpoint of IoT Hub for devices, with the checks of the real one.

It was written after Microsoft's description of the endpoint and is not the real one. It requires TLS and MQTT 3.1.1,
verifies client id, user name and token, ends a connection when its token expires or when the device connects again, and
closes it after a publication or a subscription on another topic than the device's own, or with QoS 2.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import itertools
import queue
import re
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, quote, unquote

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 12, 14
_CONNACK, _SUBACK, _PINGRESP = 0x20, 0x90, 0xD0
BAD_VERSION, NOT_AUTHORIZED = 1, 5
MAX_MESSAGE_BYTES = 256 * 1024
METHODS_FILTER = "$iothub/methods/POST/#"
_RESPONSE = re.compile(r"\$iothub/methods/res/(?P<status>\d+)/\?\$rid=(?P<request>\w+)")
_HANDSHAKE_S = _RESPONSE_S = 10.0

Receive = Callable[[str, dict[str, str], bytes], None]
"""Receives a device's message: its id, the properties and the payload; on a thread of the endpoint."""


class _ProtocolError(Exception):
    """The device does something that the hub answers by closing the connection."""


class DeviceEndpoint:
    """The endpoint on a loopback port; a context manager. ``keys`` has the key of each registered device."""

    def __init__(self, host: str, context: ssl.SSLContext, keys: Mapping[str, bytes], receive: Receive) -> None:
        self.host, self.keys, self.receive = host, keys, receive
        self.refused: list[str] = []
        """Reason of each connection that was refused or closed because of an error of the device."""
        self._devices: dict[str, _Device] = {}
        self._lock = threading.Lock()
        endpoint = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(_HANDSHAKE_S)
                with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as secured:
                    endpoint._serve(secured)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def send(self, device: str, payload: bytes) -> bool:
        """Send a message to a device; return False if it is not connected and subscribed."""
        with self._lock:
            found = self._devices.get(device)
        return found is not None and found.send(payload)

    def call(self, device: str, method: str, payload: bytes) -> int | None:
        """Call a direct method of a device with a JSON value; return the status of its response, None without one."""
        with self._lock:
            found = self._devices.get(device)
        return None if found is None else found.call(method, payload)

    def cut(self, device: str) -> None:
        """End the connection of a device."""
        with self._lock:
            found = self._devices.pop(device, None)
        if found is not None:
            found.close()

    def _serve(self, sock: ssl.SSLSocket) -> None:
        try:
            device, expires_s = self._accept(sock)
            found = _Device(device, sock, self.receive)
            self.cut(device)  # a device has one connection
            with self._lock:
                self._devices[device] = found
            sock.sendall(bytes((_CONNACK, 2, 0, 0)))
            found.serve(expires_s)
        except _ProtocolError as error:
            self.refused.append(str(error))

    def _accept(self, sock: ssl.SSLSocket) -> tuple[str, float]:
        """Check a request to connect; return the device and the time at which its token expires."""
        kind, _, body = _packet(sock)
        if kind != CONNECT:
            raise _ProtocolError("the first packet is not CONNECT")
        protocol, at = _text(body, 0)
        level, flags = body[at], body[at + 1]
        if (protocol, level) != ("MQTT", 4):
            sock.sendall(bytes((_CONNACK, 2, 0, BAD_VERSION)))
            raise _ProtocolError(f"protocol {protocol} {level}")
        device, at = _text(body, at + 4)
        if flags & 4:
            _, at = _text(body, at)
            _, at = _text(body, at)
        username, at = _text(body, at) if flags & 0x80 else ("", at)
        password, at = _text(body, at) if flags & 0x40 else ("", at)
        expires_s, problem = self._authorize(device, username, password)
        if problem:
            sock.sendall(bytes((_CONNACK, 2, 0, NOT_AUTHORIZED)))
            raise _ProtocolError(problem)
        return device, expires_s

    def _authorize(self, device: str, username: str, password: str) -> tuple[float, str]:
        """Return the time at which the token expires, and the reason for which it is not accepted."""
        key = self.keys.get(device)
        if key is None:
            return 0.0, f"device {device!r} is not registered"
        if username != f"{self.host}/{device}/?api-version=2021-04-12":
            return 0.0, f"user name {username!r}"
        kind, _, rest = password.partition(" ")
        fields = dict(part.partition("=")[::2] for part in rest.split("&"))
        resource, expires = fields.get("sr", ""), fields.get("se", "")
        if kind != "SharedAccessSignature" or unquote(resource) != f"{self.host}/devices/{device}":
            return 0.0, "not a token of this device"
        if not expires.isdecimal() or int(expires) <= time.time():
            return 0.0, "the token has expired"
        digest = hmac.new(key, f"{resource}\n{expires}".encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(quote(base64.b64encode(digest), safe=""), fields.get("sig", "")):
            return 0.0, "the signature does not match"
        return float(expires), ""

    def stop(self) -> None:
        """Close the port and the connections."""
        self._server.shutdown()
        for device in list(self._devices):
            self.cut(device)
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


class _Device:
    """Connection of an authorized device."""

    def __init__(self, name: str, sock: ssl.SSLSocket, receive: Receive) -> None:
        self._name, self._sock, self._receive = name, sock, receive
        self._events, self._bound = f"devices/{name}/messages/events/", f"devices/{name}/messages/devicebound/"
        self._ids: Iterator[int] = itertools.cycle(range(1, 65_536))
        self._subscribed, self._lock = set[str](), threading.Lock()
        self._responses: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()

    def serve(self, expires_s: float) -> None:
        """Answer packets until the connection ends or the token expires; raises _ProtocolError and OSError."""
        while (left_s := expires_s - time.time()) > 0:
            self._sock.settimeout(left_s)
            try:
                kind, flags, body = _packet(self._sock)
            except TimeoutError:
                break
            if kind == DISCONNECT:
                return
            self._answer(kind, flags, body)
        self.close()

    def send(self, payload: bytes) -> bool:
        """Send a message; return False if the device has not subscribed."""
        if f"{self._bound}#" not in self._subscribed:
            return False
        topic = f"{self._bound}{quote('$.to', safe='')}={quote(f'/devices/{self._name}/messages/deviceBound', safe='')}"
        return self._publish(topic, payload)

    def call(self, method: str, payload: bytes) -> int | None:
        """Call a direct method; return the status of the response, None if the device does not respond."""
        request = str(next(self._ids))
        wanted = METHODS_FILTER in self._subscribed
        if not wanted or not self._publish(f"{METHODS_FILTER[:-1]}{method}/?$rid={request}", payload):
            return None
        with contextlib.suppress(queue.Empty):
            while True:
                answered, status = self._responses.get(timeout=_RESPONSE_S)
                if answered == request:
                    return status
        return None

    def _publish(self, topic: str, payload: bytes) -> bool:
        content = _field(topic.encode()) + next(self._ids).to_bytes(2) + payload
        with contextlib.suppress(OSError):
            self._write(bytes((PUBLISH << 4 | 2,)) + _length(len(content)) + content)
            return True
        return False

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _answer(self, kind: int, flags: int, body: bytes) -> None:
        if kind == PUBLISH:
            topic, at = _text(body, 0)
            qos = flags >> 1 & 3
            if (response := _RESPONSE.fullmatch(topic)) is not None:
                self._responses.put((response["request"], int(response["status"])))
                return
            if qos > 1 or not topic.startswith(self._events) or len(body) > MAX_MESSAGE_BYTES:
                raise _ProtocolError(f"publication on {topic!r} with QoS {qos}, {len(body)} bytes")
            properties = dict(parse_qsl(topic.removeprefix(self._events), keep_blank_values=True))
            self._receive(self._name, properties, body[at + 2 * min(qos, 1) :])
            if qos:
                self._write(bytes((PUBACK << 4, 2)) + body[at : at + 2])
        elif kind == SUBSCRIBE:
            at, granted = 2, b""
            while at < len(body):
                wanted, at = _text(body, at)
                if wanted not in (f"{self._bound}#", METHODS_FILTER):
                    raise _ProtocolError(f"subscription to {wanted!r}")
                self._subscribed.add(wanted)
                granted, at = granted + bytes((min(1, body[at]),)), at + 1
            self._write(bytes((_SUBACK, 2 + len(granted))) + body[:2] + granted)
        elif kind == PINGREQ:
            self._write(bytes((_PINGRESP, 0)))
        elif kind != PUBACK:
            raise _ProtocolError(f"packet of type {kind}")

    def _write(self, packet: bytes) -> None:
        with self._lock:
            self._sock.sendall(packet)


def _packet(sock: ssl.SSLSocket) -> tuple[int, int, bytes]:
    """Return type, flags and body of the next packet; raises OSError at the end of the connection."""
    first = _exactly(sock, 1)[0]
    length = shift = 0
    while True:
        byte = _exactly(sock, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first >> 4, first & 0x0F, _exactly(sock, length)


def _exactly(sock: ssl.SSLSocket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = sock.recv(size - len(found))
        if not piece:
            raise ConnectionResetError("the device closed the connection")
        found += piece
    return found


def _text(body: bytes, at: int) -> tuple[str, int]:
    """Return a text and the position behind it."""
    end = at + 2 + int.from_bytes(body[at : at + 2])
    return body[at + 2 : end].decode(), end


def _field(content: bytes) -> bytes:
    return len(content).to_bytes(2) + content


def _length(size: int) -> bytes:
    """Return a length in the form of MQTT: seven bits a byte, lowest first."""
    found = bytearray()
    while True:
        size, low = size >> 7, size & 0x7F
        found.append(low | (0x80 if size else 0))
        if not size:
            return bytes(found)
