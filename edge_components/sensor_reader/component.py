"""Loop of the sensor reader, against ports: poll sources, batch readings, send batches until they are acknowledged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edge_components.common import readings_message
from edge_components.common.delivery import FLUSH_REQUEST, BatchSender, try_publish
from edge_components.common.handover import Outbox, RetryPolicy, new_epoch
from edge_components.common.lifecycle import Runtime
from edge_components.common.packing import Packer, select
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.entries import Entry
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.intake import ROW_BYTES, Intake
from edge_components.sensor_reader.pending_acknowledgements import PendingAcknowledgements
from edge_components.sensor_reader.source_log import SourceLog
from edge_components.sensor_reader.source_series import Origin, SourceSeries
from edge_components.sensor_reader.sources import Source
from wire import topics
from wire.limits import MAX_LOCAL_BYTES
from wire.names import Quality

REOPEN_SECONDS = 10.0
FLUSH_REPEAT_SECONDS = 1.0
LONGEST_SLEEP_SECONDS = 1.0

Open = Callable[[Entry, SourceLog], Source]


class Sessions(Protocol):
    """The sessions that former entries left at their peers; see mqtt.ended_sessions.EndedSessions."""

    def update(self, entries: Iterable[tuple[str, Any]]) -> None:
        """Begin to end the sessions of which none of the entries, names with their settings, has one."""

    def poll(self) -> None:
        """Do what is due."""

    def close(self) -> None:
        """Stop."""


class _Sink:
    """Sink of one source; see edge_components.sensor_reader.sources.Sink."""

    def __init__(self, name: str, log: SourceLog, reader: SensorReader) -> None:
        self._name, self._log, self._reader = name, log, reader
        self.pending = PendingAcknowledgements()

    def series_id(
        self, name: str, address: str, unit: str = "", resolution: float | None = None, *, wait: bool = False
    ) -> int:
        now = self._reader.clock.monotonic()
        origin = Origin(self._name, address)
        return self._reader.registry.series_id(name, origin, now, unit, resolution, beside=not wait)

    def extend(
        self,
        series_ids: Sequence[int],
        times_ms: Sequence[int],
        values: Sequence[float],
        qualities: Sequence[int],
        arrived: float,
    ) -> None:
        if self._reader.changed_series:
            qualities = self._reader.marked(series_ids, qualities)
        self._reader.intake.extend(series_ids, times_ms, values, qualities, arrived)
        self._reader.flush_full()

    def when_stored(self, acknowledge: Callable[[], None]) -> None:
        self.pending.add(len(self._reader.intake), acknowledge)

    def reject(self, reason: str, text: str, count: int = 1, *, key: str = "") -> None:
        self._log.warning(reason, text, count, key=key)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A running source with its sink, log and configuration."""

    entry: Entry
    source: Source
    sink: _Sink
    log: SourceLog


class SensorReader:
    """See edge_components.common.lifecycle.Component for when each method is called."""

    def __init__(self, config: Config, runtime: Runtime, open_source: Open, sessions: Sessions | None = None) -> None:
        self._config, self._runtime, self._open, self._sessions = config, runtime, open_source, sessions
        self._counters, self.clock, self.log = runtime.counters, runtime.clock, runtime.limited_log
        self.registry = SourceSeries(config.series, config.max_series)
        self.intake = Intake(self.registry)
        self._connect_registry()
        self._wanted = config.entries()
        self._logs: dict[str, SourceLog] = {}
        self._sources: dict[str, _Opened] = {}
        self._closed: dict[str, float] = {}
        self.changed_series: set[int] = set()
        """Series whose next reading may be the first one on another scale, because their entry changed."""
        self._flush_asked: float | None = None
        self._outbox = Outbox(
            new_epoch(runtime.clock.wall_ms(), runtime.rng),
            RetryPolicy(first_s=float(config.retry_s)),
            runtime.rng,
            config.outbox_bytes,
        )
        self._packer = Packer(runtime.gateway, self._outbox, MAX_LOCAL_BYTES, self.log)
        self._sender = BatchSender(
            self._outbox,
            runtime.bus,
            topics.READINGS,
            topics.READINGS_ACK,
            runtime.counters,
            runtime.limited_log,
            runtime.rng,
        )

    def start(self) -> None:
        """Subscribe, then begin to read."""
        self._sender.start()
        self._open_wanted()
        self._end_sessions()

    def tick(self) -> float:
        """Poll the sources, flush by size or age, send what is due; return the seconds until the next call."""
        self._open_wanted()
        for name in list(self._sources):
            self._poll(name)
        if self._sessions is not None:
            self._sessions.poll()
        now = self.clock.monotonic()
        self._settle()
        # During a flush request arriving readings are collected for one batch instead of several small ones.
        if self._flush_in(now) <= 0 or (self._blocked() and self._may_request_flush(now)):
            self.flush()
        self._send(now)
        self._settle()
        if blocked := self._blocked() and len(self._outbox) > 0:
            self._request_flush(now)
        return self._next_s(now, blocked)

    def reconfigure(self, config: Config) -> None:
        """Restart only the sources whose entries changed, after reading their queued data."""
        self._wanted = config.entries()
        changed = [name for name, opened in self._sources.items() if self._wanted.get(name) != opened.entry]
        for name in changed:
            self._close_source(name)
            self.changed_series.update(self.registry.release(name))
        for name in set(self._logs) - set(self._wanted):
            del self._logs[name]
        self.flush()
        self.registry.describe(config.series, config.max_series)
        self._config = config
        self._closed.clear()
        self._outbox.set_limits(RetryPolicy(first_s=float(config.retry_s)), config.outbox_bytes)
        self._open_wanted()
        self._end_sessions()

    def close(self) -> None:
        """Stop reading and send what has been read."""
        sinks = [opened.sink for opened in self._sources.values()]
        for name in list(self._sources):
            self._close_source(name)
        if self._sessions is not None:
            self._sessions.close()
        self.flush()
        self._sender.send_due(self.clock.monotonic())
        waiting = any(len(sink.pending) for sink in sinks)
        if waiting:
            self._runtime.log.info("some publications are not acknowledged: the broker sends them again")
        if len(self._outbox):
            self._runtime.log.warning("stopped with %d batches sent and not acknowledged", len(self._outbox))

    @property
    def hold_s(self) -> float:
        """Seconds that a reading may wait at most for its batch to fill."""
        return self._config.max_age_ms / 1000

    def health(self) -> Mapping[str, Any]:
        """Return the number of series, and the kind, state, counters and last error of each source by its name."""
        return {"series": len(self.registry), "sources": {name: self._health(name) for name in self._wanted}}

    def _health(self, name: str) -> dict[str, Any]:
        opened, log = self._sources.get(name), self._logs.get(name)
        state: dict[str, Any] = {"kind": self._wanted[name].kind, "state": "open" if opened else "failed"}
        if opened is not None:
            state |= opened.source.health()
        return {**state, **(log.health() if log is not None else {})}

    def marked(self, series_ids: Sequence[int], qualities: Sequence[int]) -> list[int]:
        """Return the qualities, with that of the first reading of each changed series uncertain at best."""
        marked = list(qualities)
        for at, series_id in enumerate(series_ids):
            if series_id in self.changed_series:
                self.changed_series.remove(series_id)
                marked[at] = max(marked[at], Quality.UNCERTAIN)
        return marked

    def flush_full(self) -> None:
        """Cut batches from the intake as long as it fills one."""
        if self._packer.full(len(self.intake), ROW_BYTES, self.intake.directory_bytes):
            self._cut(everything=False)

    def flush(self) -> None:
        """Cut all of the intake into batches."""
        self._cut(everything=True)

    def _connect_registry(self) -> None:
        registry = self.registry
        registry.in_use = lambda: self.intake.used
        registry.make_room = self.flush
        registry.on_forget = self._forget
        registry.on_move = self._moved
        registry.on_collision = self._collided
        registry.on_evict = self._evicted

    def _forget(self, origin: Origin) -> None:
        if origin.source in self._sources:
            self._sources[origin.source].source.forget(origin.address)

    def _moved(self, name: str, before: Origin, after: Origin) -> None:
        self.log.warning("series_moved", f"{name} comes from {after} now, {before} is silent", key=name)

    def _collided(self, name: str, first: Origin, second: Origin) -> None:
        text = f"{first} and {second} give one name at once: the second is {name} until the configuration renames one"
        self.log.warning("series_collisions", text, key=name)

    def _evicted(self, name: str, silence_s: float) -> None:
        text = f"{name}, silent for {silence_s:.0f} s, was replaced: the limit is {self._config.max_series} series"
        self.log.warning("series_forgotten", text, key=name)

    def _open_wanted(self) -> None:
        """Open each configured source that is not open, unless an attempt failed recently."""
        now = self.clock.monotonic()
        for name, entry in self._wanted.items():
            if name in self._sources or now < self._closed.get(name, now):
                continue
            log = self._logs.get(name)
            if log is None:
                log = self._logs[name] = SourceLog(name, self.log)
            try:
                source = self._open(entry, log)
                source.start()
            except SourceError as error:
                self._closed[name] = now + REOPEN_SECONDS
                log.warning("sources_failed", f"{error}; retried every {REOPEN_SECONDS:g} s")
            except Exception as error:  # a failing source must not affect others
                self._closed[name] = now + REOPEN_SECONDS
                log.exception("source_errors", f"{type(error).__name__}: {error}")
            else:
                self._sources[name] = _Opened(entry, source, _Sink(name, log, self), log)
                self._runtime.log.info("source %s is open", name)

    def _end_sessions(self) -> None:
        if self._sessions is not None:
            self._sessions.update((name, entry.settings) for name, entry in self._wanted.items())

    def _poll(self, name: str) -> None:
        """Poll one source; if it raises, it is closed and opened again later."""
        opened = self._sources[name]
        try:
            opened.source.poll(opened.sink)
        except Exception as error:  # a failing source must not affect others
            opened.log.exception("source_errors", f"{type(error).__name__}: {error}")
            self._closed[name] = self.clock.monotonic() + REOPEN_SECONDS
            self._close_source(name, read=False)

    def _close_source(self, name: str, *, read: bool = True) -> None:
        opened = self._sources.pop(name)
        try:
            opened.source.close()
            if read:
                opened.source.poll(opened.sink)
        except Exception as error:  # a failing source must not affect others
            opened.log.exception("source_errors", f"while closing: {type(error).__name__}: {error}")

    def _blocked(self) -> bool:
        """Return whether a sender waits for acknowledgements."""
        return any(opened.source.blocked() for opened in self._sources.values())

    def _flush_in(self, now: float) -> float:
        """Return the seconds until the oldest reading has waited long enough for its batch to fill."""
        oldest = self.intake.oldest
        return math.inf if oldest is None else oldest + self._config.max_age_ms / 1000 - now

    def _next_s(self, now: float, blocked: bool) -> float:
        waits = [LONGEST_SLEEP_SECONDS, self._flush_in(now), self._sender.next_s(now)]
        waits += [opened.source.next_poll_s() for opened in self._sources.values()]
        if blocked and self._flush_asked is not None:
            waits.append(self._flush_asked + FLUSH_REPEAT_SECONDS - now)
        return max(0.0, min(waits))

    def _send(self, now: float) -> None:
        """Send due batches; if a sender is blocked, the last batch requests an immediate commit of the aggregator."""
        asking = self._blocked() and self._may_request_flush(now)
        if self._sender.send_due(now, readings_message.urgent if asking else None) and asking:
            self._flush_asked = now
            self._counters.add("flush_requests")

    def _settle(self) -> None:
        """Acknowledge the stored publications to their senders."""
        oldest = self._outbox.oldest
        for opened in self._sources.values():
            if opened.sink.pending.settle(oldest):
                self._flush_asked = None

    def _may_request_flush(self, now: float) -> bool:
        return self._flush_asked is None or now - self._flush_asked >= FLUSH_REPEAT_SECONDS

    def _request_flush(self, now: float) -> None:
        """Request a commit of the aggregator once everything is sent, repeatedly until there is an acknowledgement."""
        if not self._may_request_flush(now):
            return
        self._flush_asked = now
        if try_publish(self._runtime.bus, topics.READINGS, FLUSH_REQUEST, "flush request", self.log):
            self._counters.add("flush_requests")

    def _cut(self, everything: bool) -> None:
        """Form batches of the intake; if the outbox is full, its oldest batches are dropped, since most sensors cannot
        wait.

        If an operation fails, readings stay in the intake until they are in a batch: acknowledgements count readings,
        and would otherwise confirm readings to the broker that are not stored.
        """
        if not len(self.intake):
            return
        readings, used = self.intake.held(), self.intake.used_ids()
        self.registry.note_active(used, self.intake.oldest or self.clock.monotonic())
        while len(readings) and (
            everything or self._packer.full(len(readings), ROW_BYTES, self.intake.directory_bytes)
        ):
            while self._outbox.room < MAX_LOCAL_BYTES:
                self._drop_oldest()
            sequence = self._outbox.next_sequence
            taken = self._packer.put(readings)
            for opened in self._sources.values():
                opened.sink.pending.cut(sequence, taken)
            self.intake.forget(taken)
            self._counters.add("readings", taken)
            self._counters.add("batches")
            readings = select(readings, slice(taken, None))

    def _drop_oldest(self) -> None:
        dropped = self._outbox.drop_oldest()
        if dropped is not None:
            readings = len(readings_message.decode(dropped[1]).rows)
            self.log.warning("dropped_readings", "the outbox is full: is the aggregator running?", readings)
