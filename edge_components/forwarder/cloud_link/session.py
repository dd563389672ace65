"""Session with a broker on a thread of its own: one connection after the other until closed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Protocol

from edge_components.common.errors import ConnectionLostError, CredentialsError
from edge_components.common.handover import RetryPolicy
from edge_components.common.mqtt.credentials import Credentials
from edge_components.common.mqtt.failures import Failure, connection_failure, unanswered_failure
from edge_components.common.ports import Clock
from edge_components.forwarder.cloud_link.connection import Connection
from edge_components.forwarder.cloud_link.session_ports import SessionEvents
from edge_components.forwarder.cloud_link.settings import IOT_HUB, MqttLinkSettings

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
JOIN_SECONDS = 12.0
UNSUPPORTED_VERSION = "Unsupported protocol version"


class LoopPort(Protocol):
    """Port of the component's loop."""

    def post(self, call: Callable[[], None]) -> None:
        """Run a call on the loop; it is dropped if too many wait."""

    def post_always(self, call: Callable[[], None]) -> None:
        """Run a call on the loop, regardless of the number that waits."""


class MqttSession:
    """Implementation of :class:`edge_components.forwarder.cloud_link.session_ports.Session`."""

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
        self._connection: Connection | None = None
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
            connection = Connection(self._settings, self._gateway, credentials, self._version5, self)
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

    def _serve(self, connection: Connection, credentials: Credentials) -> Failure | None:
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

    def _lost(self, connection: Connection) -> Failure:
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
