"""One connection to a broker, driven by the thread that owns it.

The MQTT library (paho) connects, subscribes and keeps the connection alive. It would receive a packet by several reads
of a byte, make an object for each publication and send each acknowledgement by itself, which takes some 20 seconds of
processor time a million publications. So the socket is read here in large pieces, publications are taken out as
columns, every other packet is handed to the library, and acknowledgements are written many at a time.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Protocol, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_components.common.mqtt.credentials import Credentials
from edge_components.common.mqtt.paho_client import PahoClient, reason_text
from edge_components.sensor_reader.mqtt.packets import PUBCOMP, PUBREL, PacketReader, Publications
from edge_components.sensor_reader.mqtt.settings import MqttSettings
from edge_components.sensor_reader.mqtt.websocket import WebSocket

MISC_SECONDS = 1.0
RECEIVE_BYTES = 262_144
UNSUPPORTED_VERSION = "Unsupported protocol version"
_NEVER_EXPIRES = 0xFFFFFFFF
_REFUSED = 0x80
Connected = socket.socket | ssl.SSLSocket | WebSocket


class Events(Protocol):
    """The receiver of a connection's events, on the thread that drives it."""

    def on_connected(self, session_present: bool) -> None:
        """The broker accepted the connection."""

    def on_refused(self, reason: str) -> None:
        """The broker refused the connection."""

    def on_subscribed(self, results: Mapping[str, str | None]) -> None:
        """The broker answered subscriptions: the reason of each refused filter, None for one that was granted."""

    def on_unsubscribed(self, filters: list[str]) -> None:
        """The broker has removed these filters."""

    def on_publications(self, publications: Publications) -> None:
        """Publications have arrived."""

    def on_disconnected(self, reason: str) -> None:
        """The connection is lost."""


class _Paho(PahoClient):
    """The library's client, which reads from a buffer instead of the socket."""

    def __init__(self, tls: ssl.SSLContext | None, *arguments: Any, **options: Any) -> None:
        super().__init__(tls, *arguments, **options)
        self.given = b""
        self.failure: OSError | None = None

    def _websocket(self, _library: Any, sock: socket.socket) -> Any:
        return WebSocket(sock)

    def _sock_recv(self, bufsize: int) -> bytes:
        if self.given:
            piece, self.given = self.given[:bufsize], self.given[bufsize:]
            return piece
        if self.failure is not None:
            raise self.failure
        raise BlockingIOError


class MqttClient:
    """A connection, from :meth:`connect` until :attr:`open` is False. Not reusable."""

    def __init__(self, settings: MqttSettings, credentials: Credentials, events: Events, version5: bool) -> None:
        self._settings, self._events, self.version5 = settings, events, version5
        self._reader = PacketReader(settings.max_payload_bytes, version5)
        self._out = b""
        self._begun = False
        self.failure: OSError | None = None
        """The error that ended the connection."""
        self.refusal: str | None = None
        """The broker's reason when it refused the connection."""
        self._asked: dict[int, list[str]] = {}
        self.accepted = False
        self._paho = self._make(credentials)

    @property
    def open(self) -> bool:
        """True while the connection exists."""
        return self._paho.socket() is not None

    def connect(self) -> None:
        """Connect and request the session; raises OSError (of which ssl.SSLError is a subclass)."""
        self._paho.reconnect()

    def subscribe(self, filters: list[str], qos: int) -> None:
        """Request subscriptions; the result is reported by :meth:`Events.on_subscribed`."""
        _result, mid = self._paho.subscribe([(one, qos) for one in filters])
        if mid is not None:
            self._asked[mid] = filters

    def unsubscribe(self, filters: list[str]) -> None:
        """Remove subscriptions; the result is reported by :meth:`Events.on_unsubscribed`."""
        _result, mid = self._paho.unsubscribe(filters)
        if mid is not None:
            self._asked[mid] = filters

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0."""
        self._paho.publish(topic, payload)

    def send(self, packets: bytes) -> None:
        """Queue complete packets for sending."""
        self._out += packets

    def serve(self, wake: socket.socket, timeout: float, paused: bool) -> None:
        """Wait for the network or ``wake``, ``timeout`` seconds at most, and read (unless ``paused``) and write."""
        sock = cast(Connected, self._paho.socket())
        self._write(sock)
        if not self.open:
            return
        waiting_to_write = bool(self._out) or self._paho.want_write()
        buffered = not paused and isinstance(sock, ssl.SSLSocket | WebSocket) and sock.pending() > 0
        readable, _, _ = select.select(
            [wake] if paused else [wake, sock],
            [sock] if waiting_to_write else [],
            [],
            0.0 if buffered else min(timeout, MISC_SECONDS),
        )
        if sock in readable or buffered:
            self._read(sock)
        if self.open:
            self._write(sock)
        if self.open:
            self._paho.loop_misc()

    def close(self) -> None:
        """Send DISCONNECT if the socket accepts it immediately, and close."""
        sock = self._paho.socket()
        if sock is not None:
            self._write(cast(Connected, sock))
            self._paho.disconnect()
            self._paho.loop_write()

    def _make(self, credentials: Credentials) -> _Paho:
        settings, version5 = self._settings, self.version5
        client = _Paho(
            credentials.context,
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if version5 else settings.clean_session,
            protocol=paho.MQTTv5 if version5 else paho.MQTTv311,
            reconnect_on_failure=False,
            transport="websockets" if settings.transport == "websockets" else "tcp",
        )
        client.ws_set_options(settings.path)
        if settings.username:
            client.username_pw_set(settings.username, credentials.password)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_unsubscribe = self._on_subscribe, self._on_unsubscribe
        client.on_message = self._on_message
        options: dict[str, Any] = {}
        if version5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0 if settings.clean_session else _NEVER_EXPIRES
            properties.ReceiveMaximum = settings.inflight
            options = {"clean_start": settings.clean_session, "properties": properties}
        client.connect_async(settings.host, settings.port, settings.keepalive_s, **options)
        return client

    def _read(self, sock: Connected) -> None:
        try:
            data = sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._fail(error)
            return
        if not data:
            self._fail(ConnectionResetError("the broker closed the connection"))
            return
        publications, others = self._reader.feed(data)
        if publications.topics:
            self._events.on_publications(publications)
        for packet in others:
            if packet[0] == PUBREL:  # of QoS 2: the publication was processed before its PUBREC
                self._out += bytes((PUBCOMP, 2)) + packet[2:4]
                continue
            self._feed_paho(packet)

    def _feed_paho(self, packet: bytes) -> None:
        self._paho.given = packet
        while self._paho.given and self.open:
            self._paho.loop_read()

    def _fail(self, error: OSError) -> None:
        self._paho.failure = self.failure = error
        self._paho.loop_read()

    def _write(self, sock: Connected) -> None:
        """Write what waits: the library's packets first, unless one of ours was begun."""
        while self.open and (self._out or self._paho.want_write()):
            if self._paho.want_write() and not self._begun:
                self._paho.loop_write()
                if self._paho.want_write():
                    return
                continue
            try:
                sent = sock.send(self._out)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._fail(error)
                return
            self._out = self._out[sent:]
            self._begun = bool(self._out)

    def _on_connect(self, _client: paho.Client, _data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.refusal = reason_text(reason, properties)
            self._events.on_refused(self.refusal)
            return
        self.accepted = True
        self._events.on_connected(bool(flags.session_present))

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        self._events.on_disconnected(str(self.failure or reason_text(reason, properties)))

    def _on_subscribe(self, _client: paho.Client, _data: Any, mid: int, reasons: Any, properties: Any) -> None:
        filters = self._asked.pop(mid, [])
        refused = (reason_text(reason, properties) if reason.value >= _REFUSED else None for reason in reasons)
        self._events.on_subscribed(dict(zip(filters, refused, strict=False)))

    def _on_unsubscribe(self, _client: paho.Client, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
        filters = self._asked.pop(mid, [])
        codes = list(reasons) or [None] * len(filters)  # MQTT 3.1.1 gives no reasons
        ended = [one for one, code in zip(filters, codes, strict=False) if code is None or code.value < _REFUSED]
        self._events.on_unsubscribed(ended)

    def _on_message(self, *_: Any) -> None:
        """Publications never reach the library."""
