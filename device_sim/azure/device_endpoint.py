"""Stand-in of the MQTT endpoint of IoT Hub for devices, with the checks of the real one.

It was written after Microsoft's description of the endpoint and is not the real one. It requires TLS and MQTT 3.1.1,
verifies client id, user name and token or certificate, and ends a connection when its token expires or when the device
connects again. The rules of a connection are in :mod:`device_sim.azure.device_connection`, those of the messages to a
device in :mod:`device_sim.azure.device_queue`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socketserver
import ssl
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote

from device_sim.azure import mqtt_packets
from device_sim.azure.device_connection import DeviceConnection, Receive
from device_sim.azure.device_queue import DeviceQueue
from device_sim.azure.mqtt_packets import ConnectRequest, Kind, ProtocolError

BAD_VERSION, NOT_AUTHORIZED = 1, 5
TTL_S = 3_600.0
"""Time after which a message to a device expires, by default."""
_HANDSHAKE_S = 10.0
_MAX_CONNECT_BYTES = 65_536
_FOREVER = float("inf")


class DeviceEndpoint:
    """The endpoint on a loopback port; a context manager.

    ``keys`` has the key of each registered device, None for a device with a certificate: ``context`` then has the
    authority that signed it, and its common name is the device's id. ``ttl_s`` is the life of a message to a device.
    """

    def __init__(
        self,
        host: str,
        context: ssl.SSLContext,
        keys: Mapping[str, bytes | None],
        receive: Receive,
        ttl_s: float = TTL_S,
    ) -> None:
        self.host, self.keys, self.receive, self._ttl_s = host, keys, receive, ttl_s
        self.refused: list[str] = []
        """Reason of each connection that was refused or closed because of an error of the device."""
        self._connections: dict[str, DeviceConnection] = {}
        self._queues: dict[str, DeviceQueue] = {}
        self._lock = threading.RLock()
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
        """Queue a message for a device, which receives it if it is subscribed; return False if its queue is full."""
        with self._lock:
            if not self._queue(device).put(payload, time.monotonic()):
                return False
            found = self._connections.get(device)
        if found is not None:
            found.wake()
        return True

    def waiting(self, device: str) -> int:
        """Return the number of messages that the device has not completed and that have not expired."""
        with self._lock:
            return len(self._queue(device))

    def call(self, device: str, method: str, payload: bytes) -> int | None:
        """Call a direct method of a device with a JSON value; return the status of its response, None without one."""
        with self._lock:
            found = self._connections.get(device)
        return None if found is None else found.call(method, payload)

    def cut(self, device: str) -> None:
        """End the connection of a device."""
        with self._lock:
            found = self._connections.pop(device, None)
        if found is not None:
            found.close()

    def _queue(self, device: str) -> DeviceQueue:
        return self._queues.setdefault(device, DeviceQueue(self._ttl_s))

    def _serve(self, sock: ssl.SSLSocket) -> None:
        try:
            request, expires_s = self._accept(sock)
            device = request.client_id
            self.cut(device)  # a device has one connection
            with self._lock:
                found = DeviceConnection(request, sock, self.receive, self._queue(device), self._lock)
                self._connections[device] = found
            sock.sendall(mqtt_packets.encode(Kind.CONNACK, bytes((found.resumed, 0))))
            found.serve(expires_s)
        except ProtocolError as error:
            self.refused.append(str(error))

    def _accept(self, sock: ssl.SSLSocket) -> tuple[ConnectRequest, float]:
        """Check a request to connect; return it and the time at which its token expires."""
        kind, _, body = mqtt_packets.read(sock, _MAX_CONNECT_BYTES)
        if kind != Kind.CONNECT:
            raise ProtocolError("the first packet is not CONNECT")
        request = ConnectRequest.parse(body)
        if (request.protocol, request.level) != ("MQTT", 4):
            sock.sendall(mqtt_packets.encode(Kind.CONNACK, bytes((0, BAD_VERSION))))
            raise ProtocolError(f"protocol {request.protocol} {request.level}")
        expires_s, problem = self._authorize(request, sock.getpeercert())
        if problem:
            sock.sendall(mqtt_packets.encode(Kind.CONNACK, bytes((0, NOT_AUTHORIZED))))
            raise ProtocolError(problem)
        return request, expires_s

    def _authorize(self, request: ConnectRequest, certificate: Mapping[str, object] | None) -> tuple[float, str]:
        """Return the time at which the token expires, and the reason for which the device is not accepted."""
        device = request.client_id
        if device not in self.keys:
            return 0.0, f"device {device!r} is not registered"
        if request.username != f"{self.host}/{device}/?api-version=2021-04-12":
            return 0.0, f"user name {request.username!r}"
        key = self.keys[device]
        if key is not None:
            return self._check_token(device, key, request.password)
        if request.password:
            return 0.0, "a password beside a certificate"
        name = _common_name(certificate)
        return _FOREVER, "" if name == device else f"the certificate is that of {name!r}"

    def _check_token(self, device: str, key: bytes, password: str) -> tuple[float, str]:
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
        for device in list(self._connections):
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


def _common_name(certificate: Mapping[str, object] | None) -> str:
    """Return the common name of a verified certificate in the form of the module ssl, empty without one."""
    subject = (certificate or {}).get("subject", ())
    if not isinstance(subject, tuple):
        return ""
    return next((str(value) for group in subject for name, value in group if name == "commonName"), "")
