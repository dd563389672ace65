"""Thread of a connection to a broker: connect, subscribe, receive, acknowledge, and reconnect until stopped."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_components.common.mqtt.credentials import Credentials
from edge_components.common.mqtt.failures import Failure, connection_failure, unanswered_failure
from edge_components.common.ports import Clock
from edge_components.sensor_reader.arrival_times import before_ms
from edge_components.sensor_reader.errors import ProtocolError, SourceError
from edge_components.sensor_reader.mqtt.client import UNSUPPORTED_VERSION, MqttClient
from edge_components.sensor_reader.mqtt.packets import Publications
from edge_components.sensor_reader.mqtt.read_pacing import WAKE_BYTES, ReadPacer
from edge_components.sensor_reader.mqtt.settings import MqttSettings
from edge_components.sensor_reader.mqtt.subscriptions import FilterStore, Subscriptions
from edge_components.sensor_reader.sources import EventLog

FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 30.0
CREDENTIAL_CHECK_S = 10.0
ACCEPT_S = 15.0
"""Longest time between an open connection and the broker's answer to CONNECT."""
MAX_WAITING_BYTES = 4_000_000
"""Maximum bytes that wait for the loop; beyond it the socket is not read."""

_LONGEST_WAIT_S = 60.0
_JOIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Received:
    """Publications of one read with the times of both clocks; ``connection`` is the number of the connection, and
    ``unread_ms`` the time before for which it had not been read although something may have arrived."""

    publications: Publications
    arrival_ms: int
    monotonic: float
    connection: int
    unread_ms: float = 0.0
    _before_ms: list[int] = field(default_factory=list)

    def before_ms(self) -> list[int]:
        """Return how many milliseconds before the read each publication arrived."""
        if not self._before_ms:
            self._before_ms.extend(before_ms(self.publications.topics, self.unread_ms))
        return self._before_ms


class MqttConnection:
    """A connection that is retried until stopped. Its methods are called on the loop, ``wake`` on its own thread."""

    def __init__(
        self,
        settings: MqttSettings,
        filters: list[str],
        store: FilterStore,
        clock: Clock,
        log: EventLog,
        wake: Callable[[], None],
        hold_s: Callable[[], float],
    ) -> None:
        self._settings, self._clock, self._log, self._wake = settings, clock, log, wake
        self._subscriptions = Subscriptions(filters, store)
        self._hold_s = hold_s
        self._lock = threading.Lock()
        self._waiting: list[Received] = []
        self._waiting_bytes = self._waiting_count = 0
        self._acknowledgements: list[tuple[int, bytes]] = []
        self._publications: list[tuple[str, bytes]] = []
        self._wake_count = 1
        self._signal: socket.socket | None = None
        """Interrupts the thread's wait for the network."""
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._client: MqttClient | None = None
        self._number = 0
        self._version5 = settings.version != "3.1.1"
        self._failure: Failure | None = Failure("mqtt_unreachable", "not connected yet")
        self._retry_s = FIRST_RETRY_S
        self._paused = False
        self._pacer, self._rest_s = ReadPacer(), 0.0

    def start(self) -> None:
        """Begin to connect; raises SourceError for files that cannot be used."""
        self._settings.credentials()
        self._signal, signalled = socket.socketpair()
        for end in (self._signal, signalled):
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, args=(signalled,), name="mqtt", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disconnect and wait for the thread."""
        self._stopping.set()
        self._interrupt()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
            self._thread = None
        if self._signal is not None:
            self._signal.close()
            self._signal = None

    def take(self) -> list[Received]:
        """Return what has arrived since the last call."""
        with self._lock:
            received, self._waiting = self._waiting, []
            paused = self._waiting_bytes >= MAX_WAITING_BYTES
            self._waiting_bytes = self._waiting_count = 0
        if paused:
            self._interrupt()
        return received

    def wake_after(self, count: int) -> None:
        """Wake the loop as soon as ``count`` publications wait, because the broker is then blocked."""
        self._wake_count = max(1, count)

    def acknowledge(self, connection: int, packets: bytes) -> None:
        """Send acknowledgements, unless there is a new connection, on which packet ids refer to other publications."""
        with self._lock:
            signalled = bool(self._acknowledgements)
            self._acknowledgements.append((connection, packets))
        if not signalled:
            self._interrupt()

    def reply(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0; dropped while the connection is lost."""
        with self._lock:
            self._publications.append((topic, payload))
        self._interrupt()

    def health(self) -> Mapping[str, Any]:
        """Return the state of the connection."""
        failure, refused = self._failure, dict(self._subscriptions.refused)
        state: dict[str, Any] = {"connected": failure is None, "broker": self._settings.address}
        if failure is not None:
            state["failure"] = failure.text
        if refused:
            state["refused_subscriptions"] = refused
        return state

    def _interrupt(self) -> None:
        if self._signal is not None:
            with contextlib.suppress(OSError):  # enough signals wait, or the thread has ended
                self._signal.send(b"\0")

    def _run(self, signalled: socket.socket) -> None:
        with signalled:
            self._run_until_stopped(signalled)

    def _run_until_stopped(self, signalled: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                self._live(signalled)
            except (OSError, ProtocolError) as error:
                self._failed(connection_failure(error))
            except SourceError as error:
                self._failed(Failure("mqtt_credentials_failed", str(error)))
            except Exception as error:  # noqa: BLE001 # the thread's outermost edge
                self._failed(Failure("mqtt_errors", f"{type(error).__name__}: {error}"))
            self._client = None
            if self._stopping.wait(self._retry_s):
                break
            self._retry_s = min(LONGEST_RETRY_S, max(FIRST_RETRY_S, 2 * self._retry_s))

    def _live(self, signalled: socket.socket) -> None:
        """Connect and serve until the connection is lost; raises OSError, ProtocolError or SourceError."""
        credentials = self._settings.credentials()
        client = self._client = MqttClient(self._settings, credentials, self, self._version5)
        self._number += 1
        with contextlib.closing(client):
            client.connect()
            opened = self._clock.monotonic()
            check_at = opened + CREDENTIAL_CHECK_S
            while client.open and not self._stopping.is_set():
                now = self._clock.monotonic()
                if not client.accepted and now - opened >= ACCEPT_S:
                    raise TimeoutError(f"no answer to CONNECT within {ACCEPT_S:g} s")
                if now >= check_at:
                    check_at = now + CREDENTIAL_CHECK_S
                    if credentials.context or credentials.password:
                        credentials = self._checked(credentials, client)
                if client.accepted and (due := self._subscriptions.due(now)):
                    client.subscribe(due, self._settings.qos)
                self._send_acknowledgements(client)
                rest_s, self._rest_s = self._rest_s, 0.0
                left = self._pass_on(now)
                client.serve(signalled, min(left, rest_s or left), self._pausing() or rest_s > 0)
                if rest_s > 0:
                    self._pacer.rested(now, self._clock.monotonic())
                with contextlib.suppress(BlockingIOError):
                    signalled.recv(65_536)
        if not client.accepted and not self._stopping.is_set():
            self._not_accepted(client)

    def _not_accepted(self, client: MqttClient) -> None:
        """Name the failure of a connection that ended before the broker accepted it."""
        if client.refusal is None:
            settings = self._settings
            self._failed(unanswered_failure(client.failure, settings.tls, bool(settings.cert_file)))
        if self._settings.version == "auto" and (client.refusal or UNSUPPORTED_VERSION).startswith(UNSUPPORTED_VERSION):
            # A broker of MQTT 3.1.1 refuses version 5, or closes the connection: tried in turns until one is accepted.
            self._version5 = not self._version5

    def _checked(self, credentials: Credentials, client: MqttClient) -> Credentials:
        """Reconnect when the credential files were replaced by valid ones; otherwise keep the connection."""
        if self._settings.credential_files.stamps() == credentials.stamps:
            return credentials
        try:
            self._settings.credentials()
        except SourceError as error:
            self._log.error("mqtt_credentials_failed", f"{error}; the connection stays", key=self._settings.address)
            return credentials
        self._log.warning("mqtt_credentials_replaced", "the files have changed: connecting again")
        self._retry_s = 0.0
        client.close()
        return credentials

    def _send_acknowledgements(self, client: MqttClient) -> None:
        with self._lock:
            waiting, self._acknowledgements = self._acknowledgements, []
            publications, self._publications = self._publications, []
        for topic, payload in publications if client.accepted else ():
            client.publish(topic, payload)
        packets = b"".join(packets for number, packets in waiting if number == self._number)
        if packets:
            client.send(packets)
            self._pacer.acknowledged(self._clock.monotonic())

    def _pausing(self) -> bool:
        paused = self._waiting_bytes >= MAX_WAITING_BYTES
        if paused and not self._paused:
            self._log.warning("mqtt_paused", "publications arrive faster than they are processed: reading is paused")
        self._paused = paused
        return paused

    def _pass_on(self, now: float) -> float:
        """Wake the loop when enough waits, or the oldest has waited long enough; return the seconds until that."""
        with self._lock:
            if not self._waiting:
                return _LONGEST_WAIT_S
            left = self._waiting[0].monotonic + self._hold_s() - now
            enough = self._waiting_count >= self._wake_count or self._waiting_bytes >= WAKE_BYTES
        if enough or left <= 0:
            self._wake()
            return self._hold_s()
        return left

    def _failed(self, failure: Failure) -> None:
        self._failure = failure
        self._log.error(
            failure.counter,
            f"no connection to {self._settings.address}: {failure.text}; it is retried",
            key=self._settings.address,
        )

    def on_connected(self, session_present: bool) -> None:
        """Subscribe, and unsubscribe from topics of an earlier configuration."""
        self._failure, self._retry_s = None, FIRST_RETRY_S
        client = self._client
        if client is None:
            return
        version = "5" if self._version5 else "3.1.1"
        resumed = ", session resumed" if session_present else ""
        self._log.info("mqtt_connected", f"{self._settings.address}, MQTT {version}{resumed}")
        wanted, ended = self._subscriptions.connected(session_present)
        if wanted:
            client.subscribe(wanted, self._settings.qos)
        if ended:
            client.unsubscribe(ended)

    def on_refused(self, reason: str) -> None:
        """Record that the broker rejected the connection."""
        self._failed(Failure("mqtt_refused", f"the broker refuses the connection: {reason}"))

    def on_subscribed(self, results: Mapping[str, str | None]) -> None:
        """Log the filters that the broker rejected; they are retried."""
        self._subscriptions.answered(results, self._clock.monotonic())
        for one, reason in results.items():
            if reason is not None:
                self._log.error(
                    "mqtt_subscription_rejected", f"{one!r}: {reason}; it is retried, its readings are missing", key=one
                )

    def on_unsubscribed(self, filters: list[str]) -> None:
        """Remove filters that the broker has removed."""
        self._subscriptions.unsubscribed(filters)
        if filters:
            self._log.info("mqtt_unsubscribed", ", ".join(filters), len(filters))

    def on_publications(self, publications: Publications) -> None:
        """Queue publications for the loop."""
        now = self._clock.monotonic()
        unread_ms = 1000 * self._pacer.unread_s(now)
        received = Received(publications, self._clock.wall_ms(), now, self._number, unread_ms)
        with self._lock:
            self._waiting.append(received)
            self._waiting_count += len(publications)
            self._waiting_bytes += publications.size
            room = self._wake_count - self._waiting_count
        self._rest_s = self._pacer.rest_s(
            len(publications), publications.size, room, self._hold_s(), received.monotonic
        )

    def on_disconnected(self, reason: str) -> None:
        """Log the loss of a connection that was accepted."""
        client = self._client
        if client is not None and client.accepted and not self._stopping.is_set() and self._retry_s:
            self._failure = Failure("mqtt_disconnected", f"the connection is lost: {reason}")
            self._log.warning("mqtt_disconnected", f"{self._settings.address}: {reason}", key=self._settings.address)
