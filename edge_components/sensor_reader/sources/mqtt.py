"""Readings from an MQTT broker on the site's network (MQTT 5 or 3.1.1).

The connection's thread only splits the stream into topics and payloads; they are parsed on the loop, many at a time.
The session is persistent, subscriptions are QoS 1, and a publication is acknowledged to the broker only when the
aggregator has its reading on disk: until then the broker keeps it, whatever is killed, and sends it again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from edge_components.common.ports import Clock
from edge_components.common.wall_clock import is_set
from edge_components.sensor_reader.arrival_clock import ArrivalClock
from edge_components.sensor_reader.errors import CollisionError, EmptyPayloadError, RejectedError
from edge_components.sensor_reader.mqtt.connection import MqttConnection, Received
from edge_components.sensor_reader.mqtt.flow import FlowMonitor
from edge_components.sensor_reader.mqtt.settings import MqttSettings, read_settings
from edge_components.sensor_reader.mqtt.subscriptions import FilterFile, FilterStore
from edge_components.sensor_reader.payloads import ParsedPayload, PayloadParser
from edge_components.sensor_reader.sources import Context, EventLog, Kind, Sink
from edge_components.sensor_reader.timestamps import event_time_ms, event_times_ms
from edge_components.sensor_reader.topic_patterns import TopicPattern

SUBSCRIPTIONS_FILE = "mqtt-subscriptions.json"
MAX_HELD = 10_000
"""Publications that wait for the gateway's clock to get the time, or for the end of a collision."""

_RETRY_HELD_S = 1.0
_FEW_HELD = 100


class Connection(Protocol):
    """The port to the broker; see :class:`edge_components.sensor_reader.mqtt.connection.MqttConnection`."""

    def start(self) -> None: ...
    def take(self) -> list[Received]: ...
    def wake_after(self, count: int) -> None: ...
    def acknowledge(self, connection: int, packets: bytes) -> None: ...
    def health(self) -> Mapping[str, Any]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Held:
    """A publication that cannot be decided yet, since ``since`` (monotonic seconds)."""

    received: Received
    index: int
    since: float


class MqttSource:
    """See edge_components.sensor_reader.sources.Source."""

    def __init__(
        self,
        settings: MqttSettings,
        clock: Clock,
        log: EventLog,
        connection: Connection,
    ) -> None:
        self._settings, self._clock, self._log, self._connection = settings, clock, log, connection
        self._patterns = [TopicPattern(pattern) for pattern in settings.topics]
        self._parser = PayloadParser(settings.value, settings.time, settings.quality)
        self._arrival_clock = ArrivalClock(clock)
        self._series_ids: dict[bytes, int] = {}
        self._held: list[Held] = []
        self._retry_at, self._clock_set = 0.0, not self._arrival_clock.waiting
        self._flow, self._flow_connection = FlowMonitor(settings.inflight), 0

    def start(self) -> None:
        """Begin to connect, for ever and with back-off; raises SourceError for files that cannot be read."""
        self._connection.start()

    def poll(self, sink: Sink) -> None:
        """Parse what has arrived; a publication that is rejected delays no other."""
        if self._held and self._held_due():
            self._retry_held(sink)
        for received in self._connection.take():
            self._note_arrival(received)
            self._take(received, sink)
        self._connection.wake_after(self._flow.room)

    def next_poll_s(self) -> float:
        """Return when a held publication is tried again, or a pause shows that the broker is blocked."""
        check_s = self._flow.next_check_s(self._clock.monotonic())
        return min(math.inf if check_s is None else check_s, _RETRY_HELD_S if self._held else math.inf)

    def blocked(self) -> bool:
        """Return whether the broker waits for acknowledgements."""
        return self._flow.blocked(self._clock.monotonic())

    def forget(self, place: str) -> None:
        """Have the topic's series determined anew."""
        self._series_ids.pop(place.encode(errors="surrogateescape"), None)

    def health(self) -> Mapping[str, Any]:
        """Return the state of the connection, and what is held back."""
        return {**self._connection.health(), **({"held_back": len(self._held)} if self._held else {})}

    def close(self) -> None:
        """Disconnect and wait for the connection's thread."""
        self._connection.close()

    def _note_arrival(self, received: Received) -> None:
        if received.connection != self._flow_connection:
            self._flow_connection = received.connection
            self._flow.reset()
            # The broker sends again what the former connection did not acknowledge.
            self._held = [one for one in self._held if not one.received.publications.acknowledgements[one.index]]
        acknowledgements = received.publications.acknowledgements
        self._flow.received(len(acknowledgements) - acknowledgements.count(b""), received.monotonic)

    def _take(self, received: Received, sink: Sink) -> None:
        """Pass on the readings of one read: all at once where nothing is unusual, else one by one."""
        publications = received.publications
        parsed = self._parser.parse_all(publications.payloads)
        series_ids = [self._series_ids.get(topic, -1) for topic in publications.topics]
        arrival_ms = self._arrival_clock.moment_ms(received.arrival_ms, received.monotonic)
        usual = not (parsed.errors or publications.retained or publications.oversize or -1 in series_ids)
        if usual and arrival_ms is not None and is_set(arrival_ms):
            times = event_times_ms(parsed.times, arrival_ms, self._settings.max_future_ms)
            if times is not None:
                sink.extend(series_ids, times, parsed.values, parsed.qualities, received.monotonic)
                self._acknowledge_when_stored(sink, received, publications.acknowledgements)
                return
        settled = []
        for index, fields in enumerate(zip(parsed.values, parsed.times, parsed.qualities, strict=True)):
            error = parsed.errors.get(index)
            if self._decided(received, index, error or ParsedPayload(*fields), sink, received.monotonic):
                settled.append(publications.acknowledgements[index])
        self._acknowledge_when_stored(sink, received, settled)

    def _held_due(self) -> bool:
        """Return whether to try the publications held back again: at every poll, many of them once a second."""
        now, clock_set = self._clock.monotonic(), not self._arrival_clock.waiting
        due = len(self._held) <= _FEW_HELD or now >= self._retry_at or clock_set != self._clock_set
        if due:
            self._retry_at, self._clock_set = now + _RETRY_HELD_S, clock_set
        return due

    def _retry_held(self, sink: Sink) -> None:
        held, self._held = self._held, []
        for one in held:
            publications = one.received.publications
            try:
                parsed: ParsedPayload | RejectedError = self._parser.parse(publications.payloads[one.index])
            except RejectedError as error:
                parsed = error
            if self._decided(one.received, one.index, parsed, sink, one.since):
                self._acknowledge_when_stored(sink, one.received, [publications.acknowledgements[one.index]])

    def _decided(
        self, received: Received, index: int, parsed: ParsedPayload | RejectedError, sink: Sink, since: float
    ) -> bool:
        """Pass on or reject one publication; False when it is held back, unacknowledged, until that can be decided."""
        publications = received.publications
        topic = publications.topics[index]
        try:
            self._take_one(received, index, parsed, sink)
        except EmptyPayloadError as error:
            self._log.count(error.reason)
        except _NoTimeYetError:
            self._held.append(Held(received, index, since))
            return False
        except CollisionError as error:
            if error.heard <= since and self._may_hold(received, index):
                self._held.append(Held(received, index, since))
                return False
            self._reject(error, topic, sink)
        except RejectedError as error:
            self._reject(error, topic, sink)
        return True

    def _take_one(self, received: Received, index: int, parsed: ParsedPayload | RejectedError, sink: Sink) -> None:
        publications = received.publications
        size = publications.oversize.get(index)
        if size is not None:
            most = self._settings.max_payload_bytes
            raise RejectedError("rejected_size", f"a payload of {size} bytes, at most {most} are read")
        if isinstance(parsed, EmptyPayloadError):
            raise parsed
        topic = publications.topics[index]
        series_id = self._series_ids.get(topic)
        if series_id is None:
            series_id = self._series_id(topic, sink)
        if isinstance(parsed, RejectedError):
            raise parsed
        if index in publications.retained and parsed.time is None:
            raise RejectedError("rejected_retained", "a retained payload without a time: its age is unknown")
        arrival_ms = self._arrival_clock.moment_ms(received.arrival_ms, received.monotonic)
        if parsed.time is None and arrival_ms is None and len(self._held) < MAX_HELD:
            raise _NoTimeYetError
        known_ms = received.arrival_ms if arrival_ms is None else arrival_ms
        if parsed.time is None and not is_set(known_ms):
            self._log.count("readings_clock_unset")
        time_ms = event_time_ms(parsed.time, known_ms, self._settings.max_future_ms)
        sink.extend((series_id,), (time_ms,), (parsed.value,), (parsed.quality,), received.monotonic)

    def _may_hold(self, received: Received, index: int) -> bool:
        """Return whether a publication may wait unacknowledged without taking the window from the others."""
        most = MAX_HELD if not received.publications.acknowledgements[index] else self._settings.inflight // 4
        return received.connection == self._flow_connection and len(self._held) < max(1, most)

    def _series_id(self, topic: bytes, sink: Sink) -> int:
        try:
            text = topic.decode()
        except UnicodeDecodeError as error:
            raise RejectedError("rejected_topic", "the topic is not UTF-8") from error
        for pattern in self._patterns:
            name = pattern.series(text)
            if name is not None:
                series_id = sink.series_id(name, text)
                # Only topics that gave a series are cached, so topics without end take no memory.
                self._series_ids[topic] = series_id
                return series_id
        raise RejectedError("rejected_topic", f"matches none of {', '.join(self._settings.topics)}")

    def _acknowledge_when_stored(self, sink: Sink, received: Received, packets: list[bytes]) -> None:
        count = len(packets) - packets.count(b"")
        if count:
            sink.when_stored(partial(self._acknowledge, received.connection, b"".join(packets), count))

    def _acknowledge(self, connection: int, packets: bytes, count: int) -> None:
        self._connection.acknowledge(connection, packets)
        if connection == self._flow_connection:
            self._flow.acknowledged(count, self._clock.monotonic())

    @staticmethod
    def _reject(error: RejectedError, topic: bytes, sink: Sink) -> None:
        text = topic.decode(errors="backslashreplace")
        sink.reject(error.reason, f"topic {text[:160]!r}: {error}", key=text)


class _NoTimeYetError(Exception):
    """The gateway's clock does not have the time yet, and may get it."""


def open_mqtt(settings: MqttSettings, context: Context, store: FilterStore | None = None) -> MqttSource:
    """Return the source of a real broker; its topic filters are kept in the work folder unless ``store`` is given."""
    if not settings.client_id:
        settings = replace(settings, client_id=_client_id(context))
    if store is None:
        store = FilterFile(context.work / SUBSCRIPTIONS_FILE, settings.session)
    filters = [TopicPattern(pattern).subscription for pattern in settings.topics]
    connection = MqttConnection(settings, filters, store, context.clock, context.log, context.wake, context.hold_s)
    return MqttSource(settings, context.clock, context.log, connection)


def _client_id(context: Context) -> str:
    return f"strandline-{context.gateway}-{context.name}"


def _session(settings: MqttSettings) -> str | None:
    return f"the session {settings.session}" if settings.client_id else None


KIND = Kind(MqttSettings, open_mqtt, read_settings, _session)

__all__ = ["KIND", "MqttSettings", "MqttSource", "open_mqtt"]
