"""Readings from an MQTT broker on the site's network (MQTT 5 or 3.1.1).

The connection's thread only splits the stream into topics and payloads; they are parsed on the loop, many at a time.
The session is persistent, subscriptions are QoS 1, and a publication is acknowledged to the broker only when the
aggregator has its readings on disk; until then the broker keeps it and sends it again after a crash.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from edge_components.common.ports import Clock
from edge_components.common.wall_clock import is_set
from edge_components.sensor_reader.arrival_clock import ArrivalClock
from edge_components.sensor_reader.errors import CollisionError, EmptyPayloadError, IgnoredError, RejectedError
from edge_components.sensor_reader.formats import Columns
from edge_components.sensor_reader.mapping.decoder import Decoder
from edge_components.sensor_reader.mqtt.connection import MqttConnection, Received
from edge_components.sensor_reader.mqtt.flow import FlowMonitor
from edge_components.sensor_reader.mqtt.settings import MqttEntry, MqttSettings, read_entry
from edge_components.sensor_reader.mqtt.subscriptions import FILE, FilterFile, FilterStore
from edge_components.sensor_reader.payloads import PayloadParser
from edge_components.sensor_reader.sources import Context, EventLog, Kind, Level, Sink
from edge_components.sensor_reader.timestamps import depends_on_arrival
from wire.model import Quality

MAX_HELD = 10_000
"""Maximum number of publications that wait for the gateway's clock to be set or for the end of a collision."""

MAX_ROUTES = 50_000
"""Maximum number of topics whose binding is cached; the cache is cleared beyond it."""

_RETRY_HELD_S = 1.0
_FEW_HELD = 100
_NO_BINDING = -1

T = TypeVar("T")
Key = bytes | tuple[bytes, str]
"""A topic, or a topic and a field in its payloads."""


class Connection(Protocol):
    """The port to the broker; see :class:`edge_components.sensor_reader.mqtt.connection.MqttConnection`."""

    def start(self) -> None: ...
    def take(self) -> list[Received]: ...
    def wake_after(self, count: int) -> None: ...
    def acknowledge(self, connection: int, packets: bytes) -> None: ...
    def reply(self, topic: str, payload: bytes) -> None: ...
    def health(self) -> Mapping[str, Any]: ...
    def close(self) -> None: ...


class Row(NamedTuple):
    """One measurement of a publication; ``time`` is unparsed."""

    field: str
    value: float
    time: Any
    quality: int
    unit: str


@dataclass(frozen=True, slots=True)
class Held:
    """Measurements of a publication that wait since ``since`` (monotonic seconds)."""

    received: Received
    index: int
    since: float
    rows: list[Row]
    decoder: Decoder


class MqttSource:
    """See edge_components.sensor_reader.sources.Source."""

    def __init__(
        self,
        entry: MqttEntry,
        clock: Clock,
        log: EventLog,
        connection: Connection,
    ) -> None:
        self._settings, self._clock, self._log, self._connection = entry.settings, clock, log, connection
        self._decoders = [Decoder(binding) for binding in entry.bindings]
        self._parsers = [
            PayloadParser(one.mapping.value[0], "".join(one.mapping.time), one.mapping.quality, one.mapping.unit)
            if one.plain
            else None
            for one in entry.bindings
        ]
        self._arrival_clock = ArrivalClock(clock)
        self._series_ids: dict[Key, int] = {}
        self._units: dict[Key, str] = {}
        """The unit that payloads last gave a series, without those of series that never had one."""
        self._keys: dict[str, list[Key]] = {}
        """The keys of each address that provides a series."""
        self._routes: dict[bytes, int] = {}
        self._held: list[Held] = []
        self._retry_at, self._clock_set = 0.0, not self._arrival_clock.waiting
        self._flow, self._flow_connection = FlowMonitor(entry.settings.inflight), 0

    def start(self) -> None:
        """Start connecting, with retries and backoff; raises SourceError for files that cannot be read."""
        self._connection.start()

    def poll(self, sink: Sink) -> None:
        """Parse arrived publications; a rejected one does not delay others."""
        if self._held and self._held_due():
            self._retry_held(sink)
        for received in self._connection.take():
            self._note_arrival(received)
            self._take(received, sink)
        self._connection.wake_after(self._flow.room)

    def next_poll_s(self) -> float:
        """Return the seconds until a held publication is retried, or until a pause shows that the broker is blocked."""
        check_s = self._flow.next_check_s(self._clock.monotonic())
        return min(math.inf if check_s is None else check_s, _RETRY_HELD_S if self._held else math.inf)

    def blocked(self) -> bool:
        """Return whether the broker waits for acknowledgements."""
        return self._flow.blocked(self._clock.monotonic())

    def forget(self, address: str) -> None:
        """Have the address' series determined again."""
        for key in self._keys.pop(address, ()):
            self._series_ids.pop(key, None)
            self._units.pop(key, None)

    def health(self) -> Mapping[str, Any]:
        """Return the state of the connection and the number of held publications."""
        return {**self._connection.health(), **({"held_back": len(self._held)} if self._held else {})}

    def close(self) -> None:
        """Disconnect and wait for the connection's thread."""
        self._connection.close()

    def _note_arrival(self, received: Received) -> None:
        if received.connection != self._flow_connection:
            self._flow_connection = received.connection
            self._flow.reset()
            # The broker retransmits publications that were not acknowledged on the previous connection.
            self._held = [one for one in self._held if not one.received.publications.acknowledgements[one.index]]
        acknowledgements = received.publications.acknowledgements
        self._flow.received(len(acknowledgements) - acknowledgements.count(b""), received.monotonic)

    def _take(self, received: Received, sink: Sink) -> None:
        """Process the publications of one read, grouped by binding, and acknowledge them."""
        acknowledgements = received.publications.acknowledgements
        if len(self._decoders) == 1:
            undecided = self._take_group(received, 0, None, sink)
        else:
            undecided = set()
            for binding, indexes in self._groups(received).items():
                if binding == _NO_BINDING:
                    self._reject_topics(received, indexes, sink)
                else:
                    undecided |= self._take_group(received, binding, indexes, sink)
        if undecided:
            acknowledgements = [one for at, one in enumerate(acknowledgements) if at not in undecided]
        self._acknowledge_when_stored(sink, received, acknowledgements)

    def _groups(self, received: Received) -> dict[int, list[int]]:
        """Return the indexes of publications by the index of the binding whose pattern their topic matches first."""
        groups: dict[int, list[int]] = {}
        for index, topic in enumerate(received.publications.topics):
            route = self._routes.get(topic)
            if route is None:
                if len(self._routes) >= MAX_ROUTES:
                    self._routes.clear()
                route = self._routes[topic] = self._route(topic)
            groups.setdefault(route, []).append(index)
        return groups

    def _route(self, topic: bytes) -> int:
        text = topic.decode(errors="replace")
        matching = (at for at, one in enumerate(self._decoders) if one.pattern.match(text) is not None)
        return next(matching, _NO_BINDING)

    def _reject_topics(self, received: Received, indexes: Iterable[int], sink: Sink) -> None:
        patterns = ", ".join(one.binding.topic for one in self._decoders)
        for index in indexes:
            error = RejectedError("rejected_topic", f"matches none of {patterns[:400]}")
            self._reject(error, received.publications.topics[index], received.publications.payloads[index], sink)

    def _take_group(self, received: Received, binding: int, indexes: list[int] | None, sink: Sink) -> set[int]:
        """Process publications of one binding (all if ``indexes`` is None); return the indexes of undecided ones."""
        parser = self._parsers[binding]
        if parser is not None:
            return self._take_plain(received, self._decoders[binding], parser, indexes, sink)
        return self._take_mapped(received, self._decoders[binding], indexes, sink)

    def _take_plain(
        self, received: Received, decoder: Decoder, parser: PayloadParser, indexes: list[int] | None, sink: Sink
    ) -> set[int]:
        """Process publications of one value each: together if all are regular, otherwise one by one."""
        publications = received.publications
        topics, payloads = _chosen(publications.topics, indexes), _chosen(publications.payloads, indexes)
        parsed = parser.parse_all(payloads)
        series_ids = [self._series_ids.get(topic, -1) for topic in topics]
        arrival_ms = self._arrival_clock.moment_ms(received.arrival_ms, received.monotonic)
        usual = not (parsed.errors or publications.retained or publications.oversize or -1 in series_ids)
        if usual and arrival_ms is not None and is_set(arrival_ms):
            times = decoder.times.all(parsed.times, arrival_ms, lambda: _chosen(received.before_ms(), indexes))
            if times is not None:
                sink.extend(series_ids, times, parsed.values, parsed.qualities, received.monotonic)
                return set()
        undecided = set()
        for at, fields in enumerate(zip(parsed.values, parsed.times, parsed.qualities, strict=True)):
            index = at if indexes is None else indexes[at]
            error = parsed.errors.get(at)
            known = series_ids[at] >= 0 or error is not None
            rows = [] if error is not None else [Row("", *fields, "" if known else parser.unit(payloads[at]))]
            errors = [] if error is None else [error]
            if not self._decided(received, index, decoder, rows, errors, sink, received.monotonic):
                undecided.add(index)
        return undecided

    def _take_mapped(self, received: Received, decoder: Decoder, indexes: list[int] | None, sink: Sink) -> set[int]:
        """Process publications of several values each: together if all are regular, otherwise one by one."""
        publications = received.publications
        topics, payloads = _chosen(publications.topics, indexes), _chosen(publications.payloads, indexes)
        columns = decoder.decode(topics, payloads)
        if columns.skipped:
            self._log.count("fields_skipped", columns.skipped)
        if columns.nulls:
            self._log.count("rejected_null", columns.nulls)
        for topic, payload in columns.replies:
            self._connection.reply(topic, payload)
        owners = [topics[at] for at in columns.payloads]
        series_ids = [self._series_ids.get(key, -1) for key in zip(owners, columns.fields, strict=True)]
        changed = any(columns.units) and self._other_units(owners, columns)
        arrival_ms = self._arrival_clock.moment_ms(received.arrival_ms, received.monotonic)
        unusual = (
            not series_ids
            or columns.rejections
            or publications.retained
            or publications.oversize
            or -1 in series_ids
            or changed
        )
        if not unusual and arrival_ms is not None and is_set(arrival_ms):
            times = decoder.times.all(
                columns.times, arrival_ms, lambda: _chosen(_chosen(received.before_ms(), indexes), columns.payloads)
            )
            if times is not None:
                sink.extend(series_ids, times, columns.values, columns.qualities, received.monotonic)
                return set()
        rows: dict[int, list[Row]] = {}
        errors: dict[int, list[RejectedError]] = {}
        parts = zip(columns.fields, columns.values, columns.times, columns.qualities, columns.units, strict=True)
        for at, part in zip(columns.payloads, parts, strict=True):
            rows.setdefault(at, []).append(Row(*part))
        for at, error in columns.rejections:
            errors.setdefault(at, []).append(error)
        undecided = set()
        for at in range(len(payloads)):
            index = at if indexes is None else indexes[at]
            if not self._decided(
                received, index, decoder, rows.get(at, ()), errors.get(at, ()), sink, received.monotonic
            ):
                undecided.add(index)
        return undecided

    def _other_units(self, owners: list[bytes], columns: Columns) -> bool:
        """Return whether payloads give a series another unit than before."""
        keys = zip(owners, columns.fields, strict=True)
        return any(unit and unit != self._units.get(key) for key, unit in zip(keys, columns.units, strict=True))

    def _held_due(self) -> bool:
        """Return whether to retry the held publications: at every poll, or once a second if there are many."""
        now, clock_set = self._clock.monotonic(), not self._arrival_clock.waiting
        due = len(self._held) <= _FEW_HELD or now >= self._retry_at or clock_set != self._clock_set
        if due:
            self._retry_at, self._clock_set = now + _RETRY_HELD_S, clock_set
        return due

    def _retry_held(self, sink: Sink) -> None:
        held, self._held = self._held, []
        for one in held:
            if self._decided(one.received, one.index, one.decoder, one.rows, (), sink, one.since):
                acknowledgement = one.received.publications.acknowledgements[one.index]
                self._acknowledge_when_stored(sink, one.received, [acknowledgement])

    def _decided(
        self,
        received: Received,
        index: int,
        decoder: Decoder,
        rows: Sequence[Row],
        errors: Sequence[RejectedError],
        sink: Sink,
        since: float,
    ) -> bool:
        """Pass or reject the measurements of one publication; return False if some are held and unacknowledged."""
        publications = received.publications
        topic, size = publications.topics[index], publications.oversize.get(index)
        if size is not None:
            most = self._settings.max_payload_bytes
            rows, errors = (), [RejectedError("rejected_size", f"a payload of {size} bytes, at most {most} are read")]
        payload = publications.payloads[index]
        for error in errors:
            self._reject(error, topic, payload, sink)
        undecided: list[Row] = []
        for row in rows:
            try:
                try:
                    self._take_row(received, index, decoder, row, sink, wait=True)
                except CollisionError as error:
                    if decoder.skips_duplicates:
                        raise IgnoredError(str(error)) from error
                    if error.last_active <= since and (undecided or self._may_hold(received, index)):
                        undecided.append(row)
                    else:
                        self._take_row(received, index, decoder, row, sink, wait=False)
            except _NoTimeYetError:
                undecided.append(row)
            except RejectedError as error:
                self._reject(error, topic, payload, sink)
        if undecided:
            self._held.append(Held(received, index, since, undecided, decoder))
        return not undecided

    def _take_row(self, received: Received, index: int, decoder: Decoder, row: Row, sink: Sink, *, wait: bool) -> None:
        """Pass on one measurement; raises RejectedError, _NoTimeYetError, and with ``wait`` CollisionError."""
        publications = received.publications
        topic = publications.topics[index]
        key: Key = (topic, row.field) if row.field else topic
        series_id = self._series_ids.get(key)
        if series_id is None or (row.unit and row.unit != self._units.get(key)):
            series_id = self._series_id(key, topic, decoder, row, sink, wait=wait)
        if index in publications.retained and row.time is None:
            raise RejectedError("rejected_retained", "a retained payload without a time: its age is unknown")
        arrival_ms = self._arrival_clock.moment_ms(received.arrival_ms, received.monotonic)
        if row.time is None and arrival_ms is None and len(self._held) < MAX_HELD:
            raise _NoTimeYetError
        known_ms = received.arrival_ms if arrival_ms is None else arrival_ms
        if row.time is None and not is_set(known_ms):
            self._log.count("readings_clock_unset")
        time_ms, replaced = decoder.times.one(row.time, known_ms)
        if replaced or depends_on_arrival(row.time):
            time_ms -= received.before_ms()[index]
        quality = row.quality
        if replaced:
            if index in publications.retained:
                raise RejectedError("rejected_retained", "a retained payload with an unusable time")
            self._log.count("times_replaced")
            quality = max(quality, Quality.UNCERTAIN)
        sink.extend((series_id,), (time_ms,), (row.value,), (quality,), received.monotonic)

    def _may_hold(self, received: Received, index: int) -> bool:
        """Return whether a publication can wait unacknowledged without blocking the in-flight window."""
        most = MAX_HELD if not received.publications.acknowledgements[index] else self._settings.inflight // 4
        return received.connection == self._flow_connection and len(self._held) < max(1, most)

    def _series_id(self, key: Key, topic: bytes, decoder: Decoder, row: Row, sink: Sink, *, wait: bool) -> int:
        try:
            text = topic.decode()
        except UnicodeDecodeError as error:
            raise RejectedError("rejected_topic", "the topic is not UTF-8") from error
        address = decoder.address(text, row.field)
        name = decoder.name(text, row.field)
        series_id = sink.series_id(name, address, decoder.unit(row.field, row.unit, name), wait=wait)
        # Only addresses that gave a series are cached, so topics without end take no memory.
        if key not in self._series_ids:
            self._keys.setdefault(address, []).append(key)
        self._series_ids[key] = series_id
        if row.unit:
            self._units[key] = row.unit
        return series_id

    def _acknowledge_when_stored(self, sink: Sink, received: Received, packets: Sequence[bytes]) -> None:
        count = len(packets) - packets.count(b"")
        if count:
            sink.when_stored(partial(self._acknowledge, received.connection, b"".join(packets), count))

    def _acknowledge(self, connection: int, packets: bytes, count: int) -> None:
        self._connection.acknowledge(connection, packets)
        if connection == self._flow_connection:
            self._flow.acknowledged(count, self._clock.monotonic())

    def _reject(self, error: RejectedError, topic: bytes, payload: bytes, sink: Sink) -> None:
        if isinstance(error, EmptyPayloadError | IgnoredError):
            self._log.count(error.reason)
            return
        text = topic.decode(errors="backslashreplace")
        sink.reject(error.reason, f"topic {text[:160]!r}: {error.with_payload(payload)}", key=text)


class _NoTimeYetError(Exception):
    """The gateway's clock is not set yet."""


def _chosen(column: list[T], indexes: Sequence[int] | None) -> list[T]:
    return column if indexes is None else [column[index] for index in indexes]


def open_mqtt(entry: MqttEntry, context: Context, store: FilterStore | None = None) -> MqttSource:
    """Return the source of a real broker; its topic filters are kept in the work folder unless ``store`` is given."""
    settings = entry.settings.named(context.gateway, context.name)
    entry = replace(entry, settings=settings)
    if store is None:
        store = FilterFile(context.work / FILE, settings.session, settings.connection)
    filters = [binding.pattern.subscription for binding in entry.bindings if not binding.mapping.skip]
    connection = MqttConnection(settings, filters, store, context.clock, context.log, context.wake, context.hold_s)
    return MqttSource(entry, context.clock, context.log, connection)


def _session(entry: MqttEntry) -> str | None:
    return f"the session {entry.settings.session}" if entry.settings.client_id else None


KIND = Kind(MqttSettings, open_mqtt, read_entry, _session, level=Level.GOLD)

__all__ = ["KIND", "MqttEntry", "MqttSettings", "MqttSource", "open_mqtt", "read_entry"]
