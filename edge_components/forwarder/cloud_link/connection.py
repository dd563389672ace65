"""One connection of the uplink to a broker or to Azure IoT Hub: connect, subscribe, send and receive."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes

from edge_components.common.errors import ConnectionLostError, CredentialsError
from edge_components.common.mqtt.credentials import Credentials
from edge_components.common.mqtt.paho_client import PahoClient, reason_text
from edge_components.forwarder.cloud_link import iot_hub
from edge_components.forwarder.cloud_link.settings import IOT_HUB, MqttLinkSettings

MAX_UNCONFIRMED = 64
"""Maximum number of publications that the broker has not confirmed."""
LOOP_SECONDS = 0.5
UNSPECIFIED = 0x80
"""Reason code that the library uses for every error of the socket."""


class ConnectionEvents(Protocol):
    """Receiver of the events of a connection; each method is called on the session's thread."""

    def on_connected(self, protocol: str) -> None:
        """Handle the first answer to the subscription."""

    def on_subscribed(self, topic: str, rejection: str) -> None:
        """Handle an answer to the subscription, with an empty rejection if it is granted."""

    def on_message(self, topic: str, payload: bytes) -> None:
        """Handle a message."""

    def on_publication_rejected(self, reason: str) -> None:
        """Handle a publication that the broker rejected."""

    def now_s(self) -> int:
        """Return the wall clock in seconds."""


class Connection:
    """One connection; all methods but ``publish`` are called on the session's thread."""

    def __init__(
        self,
        settings: MqttLinkSettings,
        gateway: str,
        credentials: Credentials,
        version5: bool,
        events: ConnectionEvents,
    ) -> None:
        self._settings, self._events, self._version5 = settings, events, version5
        self._filters = settings.acknowledgements(gateway)
        self.accepted = self.subscribed = False
        self.refusal = self.rejected = ""
        self.reason = "the broker closed it"
        self.ended = threading.Event()
        """Set when the connection is to end."""
        self.token_s = settings.sas_lifetime_s if settings.sas_key_file else 0
        """Seconds for which the token is valid; 0 without one."""
        self._client = PahoClient(
            credentials.context,
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id or gateway,
            clean_session=None if version5 else True,
            protocol=paho.MQTTv5 if version5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        self._identify(gateway, credentials)  # may raise, so before the sockets
        self._wake, self._woken = socket.socketpair()
        for one in (self._wake, self._woken):
            one.setblocking(False)
        client = self._client
        client.max_queued_messages_set(MAX_UNCONFIRMED)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        client.on_publish = self._on_publish
        options: dict[str, Any] = {"clean_start": True} if version5 else {}
        client.connect_async(settings.host, settings.port, settings.keepalive_s, **options)

    def connect(self) -> None:
        """Connect; raises OSError."""
        self._client.reconnect()

    def serve(self) -> bool:
        """Wait for the network and publications, LOOP_SECONDS at most; return False if the connection has ended."""
        client, sock = self._client, self._client.socket()
        if sock is None:
            return False
        buffered = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writing = [sock] if client.want_write() else []
        readable, _, _ = select.select([sock, self._woken], writing, [], 0.0 if buffered else LOOP_SECONDS)
        if self._woken in readable:
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(65_536)
        if buffered or sock in readable:
            client.loop_read()
        if client.want_write():
            client.loop_write()
        return client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS and client.socket() is not None

    def request_subscription(self) -> None:
        """Request the subscription to the acknowledgements."""
        self.rejected = ""
        self._client.subscribe([(one, 1) for one in self._filters])

    def publish(self, topic: str, payload: bytes) -> bool:
        """Queue a publication, on any thread; return False if too many are unconfirmed."""
        result = self._client.publish(topic, payload, qos=1).rc
        if result == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            return False
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionLostError(f"not connected to {self._settings.address}")
        self.wake()
        return True

    def wake(self) -> None:
        """Interrupt the wait for the network, on any thread."""
        with contextlib.suppress(OSError):  # enough signals wait, or the connection has ended
            self._wake.send(b"\0")

    def end(self) -> None:
        """End the connection on purpose, on any thread."""
        self.ended.set()
        self.wake()

    def close(self) -> None:
        """Send DISCONNECT if possible, and close the socket."""
        self.subscribed = False
        self._client.on_disconnect = None
        if self._client.socket() is not None:
            with contextlib.suppress(OSError):
                self._client.disconnect()
                self._client.loop_write()
            self._client.abandon()
        self._wake.close()
        self._woken.close()

    def _identify(self, gateway: str, credentials: Credentials) -> None:
        settings = self._settings
        if settings.service != IOT_HUB:
            if settings.username:
                self._client.username_pw_set(settings.username, credentials.password)
            return
        token = None
        if settings.sas_key_file:
            try:
                key = iot_hub.read_key(credentials.password or "")
            except ValueError as error:
                raise CredentialsError(f"mqtt.sas_key_file {settings.sas_key_file}: {error}") from error
            token = iot_hub.sas_token(settings.host, gateway, key, self._events.now_s() + self.token_s)
        self._client.username_pw_set(iot_hub.username(settings.host, gateway), token)

    def _on_connect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.refusal = reason_text(reason, properties)
            return
        self.accepted = True
        # More are queued by the library: the maximum that an MQTT 5 broker states.
        self._client.limit_in_flight(min(MAX_UNCONFIRMED, getattr(properties, "ReceiveMaximum", 65_535)))
        self.request_subscription()

    def _on_subscribe(self, _client: paho.Client, _data: Any, _mid: int, reasons: Any, properties: Any) -> None:
        rejections = [reason_text(reason, properties) for reason in reasons if reason.value >= UNSPECIFIED]
        self.rejected = rejections[0] if rejections else ""
        if not self.subscribed:
            self.subscribed = True
            self._events.on_connected(f"MQTT {'5' if self._version5 else '3.1.1'}")
        self._events.on_subscribed(", ".join(self._filters), self.rejected)

    def _on_publish(self, _client: paho.Client, _data: Any, _mid: int, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._events.on_publication_rejected(reason_text(reason, properties))

    def _on_message(self, _client: paho.Client, _data: Any, message: Any) -> None:
        topic, payload = message.topic, message.payload
        if self._settings.service == IOT_HUB and (called := iot_hub.called_method(topic, payload)) is not None:
            response, payload = called
            self._client.publish(response, b"{}")
        if payload:
            self._events.on_message(topic, payload)

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if reason.packetType == PacketTypes.DISCONNECT and reason.value not in (0, UNSPECIFIED):
            self.reason = reason_text(reason, properties)
        elif self._client.socket_error is not None:
            self.reason = str(self._client.socket_error)
