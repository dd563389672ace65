"""Readings from an MQTT broker on the site's network (MQTT 3.1.1, paho-mqtt).

The network thread does no more than keep topic, payload and arrival time; everything is read on the loop. The session
is persistent, subscriptions are QoS 1, and a publication is acknowledged to the broker only when the aggregator holds
its reading on disk: until then the broker keeps it, whatever is killed, and sends it again.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_components.common.health import Counters
from edge_components.common.ports import Clock
from edge_components.common.wall_clock import is_set
from edge_components.sensor_reader.arrival_clock import ArrivalClock
from edge_components.sensor_reader.errors import RejectedError, SourceError
from edge_components.sensor_reader.payloads import PayloadForm
from edge_components.sensor_reader.sources import Sink
from edge_components.sensor_reader.timestamps import event_time_ms
from edge_components.sensor_reader.topic_patterns import TopicPattern

MAX_WAITING = 50_000
MAX_WAITING_BYTES = 16_000_000
"""What may wait between the network thread and the loop; a loop that lags further loses the newest, counted."""

MAX_TIMELESS = 10_000
"""Of those, what may wait for the gateway's clock to get the time; more are stamped with what it says."""

FIRST_RETRY_S, LONGEST_RETRY_S = 1, 30
_JOIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """What the configuration says of the broker; see config.py for the meaning of each."""

    host: str
    port: int
    client_id: str
    topics: tuple[str, ...]
    qos: int
    clean_session: bool
    keepalive_s: int
    username: str
    password_file: str
    tls: bool
    ca_file: str
    cert_file: str
    key_file: str
    value_key: str
    time_key: str
    quality_key: str
    max_payload_bytes: int
    max_future_ms: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """A publication as it came; ``payload`` is None where it was too large to keep, ``size`` is its length.

    ``arrival_ms`` and ``monotonic`` (seconds) are what both clocks said then.
    """

    topic: str
    payload: bytes | None
    size: int
    arrival_ms: int
    monotonic: float
    retained: bool
    mid: int
    connection: int


class MqttSource:
    """See edge_components.sensor_reader.sources.Source."""

    def __init__(self, settings: MqttSettings, clock: Clock, counters: Counters, log: logging.Logger) -> None:
        self._settings, self._clock, self._counters, self._log = settings, clock, counters, log
        self._patterns = [TopicPattern(pattern) for pattern in settings.topics]
        self._form = PayloadForm(settings.value_key, settings.time_key, settings.quality_key)
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()
        self._arrival_clock = ArrivalClock(clock)
        self._timeless: list[Arrival] = []
        self._waiting: list[Arrival] = []
        self._waiting_bytes = 0
        self._client: paho.Client | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._connection = 0

    def start(self) -> None:
        """Begin to connect, for ever and with back-off; raises SourceError for files that cannot be read."""
        self._client = self._make_client()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="mqtt", args=(self._client,), daemon=True)
        self._thread.start()

    def poll(self, sink: Sink) -> None:
        """Read what has come; one that cannot be read is rejected and holds up no other."""
        with self._lock:
            arrivals, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if self._timeless and not self._arrival_clock.waiting:
            arrivals, self._timeless = self._timeless + arrivals, []
        for arrival in arrivals:
            try:
                if not self._read(arrival, sink):
                    self._timeless.append(arrival)
                    continue
            except RejectedError as error:
                sink.reject(error.reason, f"topic {arrival.topic[:160]!r}: {error}")
            if arrival.mid:
                sink.receipt(partial(self._acknowledge, arrival.mid, arrival.connection))

    def close(self) -> None:
        """Disconnect and wait for the network thread."""
        self._stopping.set()
        if self._client is not None:
            self._client.disconnect()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
        self._client = self._thread = None

    def _acknowledge(self, mid: int, connection: int) -> None:
        """Tell the broker; not over another connection, where the number may be another publication's."""
        if self._client is not None and connection == self._connection:
            self._client.ack(mid, self._settings.qos)

    def _read(self, arrival: Arrival, sink: Sink) -> bool:
        """Hand a reading over and return whether it was: one without a time waits for a clock that is not set yet."""
        if arrival.payload is None:
            most = self._settings.max_payload_bytes
            raise RejectedError("rejected_size", f"a payload of {arrival.size} bytes, at most {most} are read")
        place = self._places.get(arrival.topic)
        if place is None:
            place = self._place(arrival.topic, sink)
        said = self._form.read(arrival.payload)
        if arrival.retained and said.time is None:
            raise RejectedError("rejected_retained", "a retained payload without a time: nobody knows when it was read")
        arrival_ms = self._arrival_clock.moment_ms(arrival.arrival_ms, arrival.monotonic)
        if said.time is None and arrival_ms is None and len(self._timeless) < MAX_TIMELESS:
            return False
        if said.time is None and not is_set(arrival_ms or 0):
            self._counters.add("readings_clock_unset")
        known_ms = arrival.arrival_ms if arrival_ms is None else arrival_ms
        sink.add(place, event_time_ms(said.time, known_ms, self._settings.max_future_ms), said.value, said.quality)
        return True

    def _place(self, topic: str, sink: Sink) -> int:
        for pattern in self._patterns:
            name = pattern.series(topic)
            if name is not None:
                # Only topics that gave a series are kept, so topics without end take no memory.
                self._places[topic] = place = sink.place(name, topic)
                return place
        raise RejectedError("rejected_topic", f"matches none of {', '.join(self._settings.topics)}")

    def _make_client(self) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=settings.clean_session,
            manual_ack=True,
        )
        client.reconnect_delay_set(FIRST_RETRY_S, LONGEST_RETRY_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_message = self._on_connect_fail, self._on_message
        try:
            if settings.username:
                client.username_pw_set(settings.username, _secret(settings.password_file))
            if settings.tls:
                client.tls_set(settings.ca_file or None, settings.cert_file or None, settings.key_file or None)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(
                filter(None, (settings.password_file, settings.ca_file, settings.cert_file, settings.key_file))
            )
            raise SourceError(f"mqtt: cannot use {files or 'the settings'}: {error}") from error
        # Not connect(): that would wait for the network here, and fail where the loop below tries again.
        client.connect_async(settings.host, settings.port, settings.keepalive_s)
        return client

    def _run(self, client: paho.Client) -> None:
        """The network thread: a broker that breaks the protocol must not end it."""
        failed = False
        while not self._stopping.is_set():
            try:
                if failed:
                    client.reconnect()
                client.loop_forever(retry_first_connection=True)
            except Exception:  # noqa: BLE001 # the thread's outermost edge
                self._counters.add("mqtt_errors")
                self._log.exception("mqtt: the network loop failed; it begins again")
                failed = True
                self._stopping.wait(FIRST_RETRY_S)

    def _on_connect(self, client: paho.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        where = f"{self._settings.host}:{self._settings.port}"
        if reason.is_failure:
            self._counters.add("mqtt_refused")
            self._log.error("mqtt: %s refuses the connection: %s", where, reason)
            return
        self._connection += 1
        self._counters.add("mqtt_connected")
        self._log.info("mqtt: connected to %s%s", where, ", session resumed" if flags.session_present else "")
        client.subscribe([(pattern.subscription, self._settings.qos) for pattern in self._patterns])

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self._stopping.is_set():
            self._counters.add("mqtt_disconnected")
            self._log.warning("mqtt: the connection is lost: %s; trying again", reason)

    def _on_connect_fail(self, _client: paho.Client, _data: Any) -> None:
        self._counters.add("mqtt_unreachable")
        if self._counters["mqtt_unreachable"].bit_count() == 1:  # at 1, 2, 4, 8...: a broker may be away for a week
            self._log.warning(
                "mqtt: %s:%s cannot be reached (tried %d times)",
                self._settings.host,
                self._settings.port,
                self._counters["mqtt_unreachable"],
            )

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\ufffd"  # MQTT forbids it; rejected as unknown on the loop
        size = len(message.payload)
        payload = bytes(message.payload) if size <= self._settings.max_payload_bytes else None
        mid = message.mid if message.qos else 0
        moment = self._clock.wall_ms(), self._clock.monotonic()
        arrival = Arrival(topic, payload, size, *moment, message.retain, mid, self._connection)
        with self._lock:
            if len(self._waiting) < MAX_WAITING and self._waiting_bytes < MAX_WAITING_BYTES:
                self._waiting.append(arrival)
                self._waiting_bytes += 0 if payload is None else size
                return
        self._counters.add("mqtt_overflow")


def _secret(path: str) -> str | None:
    return Path(path).read_text().strip() if path else None
