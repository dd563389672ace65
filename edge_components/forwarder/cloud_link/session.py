"""Connection to a broker on a thread of its own: connect, subscribe, send, and connect again until closed."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes

from edge_components.common.errors import ConnectionLostError, CredentialsError
from edge_components.common.handover import RetryPolicy
from edge_components.common.mqtt.credentials import Credentials
from edge_components.common.mqtt.failures import Failure, connection_failure, unanswered_failure
from edge_components.common.mqtt.paho_client import PahoClient, reason_text
from edge_components.common.ports import Clock
from edge_components.forwarder.cloud_link import iot_hub
from edge_components.forwarder.cloud_link.mqtt import SessionEvents
from edge_components.forwarder.cloud_link.settings import IOT_HUB, MqttLinkSettings

MAX_UNCONFIRMED = 64
"""Maximum number of publications that the broker has not confirmed."""
RETRY = RetryPolicy(first_s=1.0, longest_s=60.0)
STABLE_SECONDS = 30.0
"""The backoff is reset when a connection that lasted at least this long is lost."""
ANSWER_SECONDS = 20.0
"""Maximum time for the broker's answers to the connection and the subscription."""
SUBSCRIBE_SECONDS = 30.0
"""Time between two attempts to subscribe if the broker rejects the subscription."""
CREDENTIALS_CHECK_SECONDS = 10.0
TOKEN_USED = 0.8
"""Part of a token's life after which it is replaced."""
LOOP_SECONDS = 0.5
JOIN_SECONDS = 12.0
UNSUPPORTED_VERSION = "Unsupported protocol version"
UNSPECIFIED = 0x80
"""Reason code that the library uses for every error of the socket."""


class LoopPort(Protocol):
    """Port of the component's loop."""

    def post(self, call: Callable[[], None]) -> None:
        """Run a call on the loop; it is dropped if too many wait."""

    def post_always(self, call: Callable[[], None]) -> None:
        """Run a call on the loop, regardless of the number that waits."""


class MqttSession:
    """Implementation of :class:`edge_components.forwarder.cloud_link.mqtt.Session`."""

    def __init__(
        self,
        settings: MqttLinkSettings,
        gateway: str,
        events: SessionEvents,
        loop: LoopPort,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._settings, self._gateway, self._events = settings, gateway, events
        self._loop, self._clock, self._rng = loop, clock, rng
        self._version5 = settings.version != "3.1.1" and settings.service != IOT_HUB
        self._stopping = threading.Event()
        self._connection: _Connection | None = None
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Queue a publication; return False if too many are unconfirmed. Raises ConnectionLostError."""
        connection = self._connection
        if connection is None or not connection.subscribed:
            raise ConnectionLostError(f"not connected to {self._settings.address}")
        return connection.publish(topic, payload)

    def reconnect(self) -> None:
        """End the connection."""
        connection = self._connection
        if connection is not None:
            connection.end()

    def close(self) -> None:
        """Disconnect, and wait for the thread."""
        self._stopping.set()
        self.reconnect()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            failure = self._serve_one()
            if self._stopping.is_set():
                return
            if failure is None:  # newer credentials, or a requested renewal
                failures = 0
                continue
            failed = failure
            self._loop.post_always(lambda failed=failed: self._events.failed(failed))  # type: ignore[misc]
            failures = 1 if self._clock.monotonic() - began >= STABLE_SECONDS else failures + 1
            self._stopping.wait(RETRY.delay(failures, self._rng))

    def _serve_one(self) -> Failure | None:
        """Connect and serve until the connection ends; return the failure, None if it was ended on purpose."""
        try:
            credentials = self._settings.credential_files.load()
            connection = _Connection(self._settings, self._gateway, credentials, self._version5, self)
        except CredentialsError as error:
            return Failure("mqtt_credentials_failed", str(error))
        try:
            connection.connect()
            self._connection = connection
            return self._serve(connection, credentials)
        except OSError as error:
            return connection_failure(error)
        except Exception as error:  # noqa: BLE001 # outermost edge of the thread: every outcome is reported and retried
            return Failure("mqtt_errors", f"{type(error).__name__}: {error}")
        finally:
            self._connection = None
            connection.close()

    def _serve(self, connection: _Connection, credentials: Credentials) -> Failure | None:
        now = self._clock.monotonic()
        answer_by, check_at, subscribe_at = now + ANSWER_SECONDS, now + CREDENTIALS_CHECK_SECONDS, float("inf")
        renew_at = now + connection.token_s * TOKEN_USED if connection.token_s else float("inf")
        while not connection.ended.is_set():
            if not connection.serve():
                return self._lost(connection)
            now = self._clock.monotonic()
            if not connection.subscribed and now >= answer_by:
                return Failure("mqtt_timeout", "no answer in time")
            if connection.rejected and subscribe_at == float("inf"):
                subscribe_at = now + SUBSCRIBE_SECONDS
            if now >= subscribe_at:
                subscribe_at = float("inf")
                connection.request_subscription()
            if now >= renew_at:
                self._renewed("mqtt_token_renewed", "the token is renewed before it expires")
                return None
            if now >= check_at:
                check_at = now + CREDENTIALS_CHECK_SECONDS
                if self._replaced(credentials):
                    self._renewed("mqtt_credentials_replaced", "the files have changed: connecting again")
                    return None
        return None

    def _lost(self, connection: _Connection) -> Failure:
        """Return the failure of a connection that ended; alternate the protocol version if that may be the cause."""
        if connection.accepted:
            return Failure("mqtt_disconnected", f"the connection is lost: {connection.reason}")
        refusal = connection.refusal
        alternate = self._settings.version == "auto" and self._settings.service != IOT_HUB
        # A broker of MQTT 3.1.1 refuses version 5, or closes the connection.
        if alternate and (refusal or UNSUPPORTED_VERSION).startswith(UNSUPPORTED_VERSION):
            self._version5 = not self._version5
        if refusal:
            return Failure("mqtt_refused", f"the broker refuses the connection: {refusal}")
        return unanswered_failure(None, self._settings.tls, bool(self._settings.cert_file))

    def _replaced(self, credentials: Credentials) -> bool:
        """Return whether the credential files were replaced by valid ones."""
        files = self._settings.credential_files
        if files.stamps() == credentials.stamps:
            return False
        try:
            files.load()
        except CredentialsError:  # being replaced; the connection stays
            return False
        return True

    def _renewed(self, counter: str, reason: str) -> None:
        self._loop.post_always(lambda: self._events.credentials_renewed(counter, reason))

    def on_connected(self, protocol: str) -> None:
        """Report the connection."""
        self._loop.post_always(lambda: self._events.connected(protocol))

    def on_subscribed(self, topic: str, rejection: str) -> None:
        """Report the result of the subscription."""
        self._loop.post_always(lambda: self._events.subscribed(topic, rejection))

    def on_message(self, topic: str, payload: bytes) -> None:
        """Pass a message to the loop; one that is dropped is covered by the next acknowledgement."""
        self._loop.post(lambda: self._events.received(topic, payload))

    def on_publication_rejected(self, reason: str) -> None:
        """Report a publication that the broker rejected."""
        self._loop.post(lambda: self._events.publication_rejected(reason))

    def now_s(self) -> int:
        """Return the wall clock in seconds."""
        return self._clock.wall_ms() // 1000


class _Connection:
    """One connection; all methods but ``publish`` are called on the session's thread."""

    def __init__(
        self,
        settings: MqttLinkSettings,
        gateway: str,
        credentials: Credentials,
        version5: bool,
        session: MqttSession,
    ) -> None:
        self._settings, self._session, self._version5 = settings, session, version5
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
            token = iot_hub.sas_token(settings.host, gateway, key, self._session.now_s() + self.token_s)
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
            self._session.on_connected(f"MQTT {'5' if self._version5 else '3.1.1'}")
        self._session.on_subscribed(", ".join(self._filters), self.rejected)

    def _on_publish(self, _client: paho.Client, _data: Any, _mid: int, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._session.on_publication_rejected(reason_text(reason, properties))

    def _on_message(self, _client: paho.Client, _data: Any, message: Any) -> None:
        topic, payload = message.topic, message.payload
        if self._settings.service == IOT_HUB and (called := iot_hub.called_method(topic, payload)) is not None:
            response, payload = called
            self._client.publish(response, b"{}")
        if payload:
            self._session.on_message(topic, payload)

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if reason.packetType == PacketTypes.DISCONNECT and reason.value not in (0, UNSPECIFIED):
            self.reason = reason_text(reason, properties)
        elif self._client.socket_error is not None:
            self.reason = str(self._client.socket_error)
