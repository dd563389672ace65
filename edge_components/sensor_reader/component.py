"""The sensor reader's loop, against ports: poll the sources, batch what they say, hand it over, keep it until held."""

from __future__ import annotations

from collections.abc import Callable

from edge_components.common import readings_message
from edge_components.common.delivery import free_acknowledged, send_due
from edge_components.common.handover import Outbox, RetryPolicy, new_epoch
from edge_components.common.lifecycle import Runtime
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.packing import Packer, select
from edge_components.sensor_reader.config import Config, Settings
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.intake import ROW_BYTES, Directory, Intake
from edge_components.sensor_reader.receipts import Receipts
from edge_components.sensor_reader.sources import Source
from wire import topics
from wire.limits import MAX_LOCAL_BYTES

REOPEN_SECONDS = 10.0
Open = Callable[[Settings], Source]


class _Sink:
    """What sources see: the intake, the directory behind it, and the log of what they reject."""

    def __init__(self, intake: Intake, receipts: Receipts, limited_log: RateLimitedLog) -> None:
        self.place = intake.directory.place
        self.add = intake.add
        self.reject = limited_log.warning
        self._intake, self._receipts = intake, receipts

    def receipt(self, settle: Callable[[], None]) -> None:
        self._receipts.expect(len(self._intake), settle)


class SensorReader:
    """See edge_components.common.lifecycle.Component for the methods' places in its life."""

    def __init__(self, config: Config, runtime: Runtime, open_source: Open) -> None:
        self._config, self._runtime, self._open = config, runtime, open_source
        self._counters, self._clock = runtime.counters, runtime.clock
        self._limited_log = runtime.limited_log
        self._directory = Directory(config.series, config.max_series)
        self._intake = Intake(self._directory)
        self._receipts = Receipts()
        self._sink = _Sink(self._intake, self._receipts, self._limited_log)
        self._wanted = config.sources(runtime.gateway)
        self._sources: dict[str, tuple[Settings, Source]] = {}
        self._closed: dict[str, float] = {}
        self._oldest: float | None = None
        self._outbox = Outbox(
            new_epoch(runtime.clock.wall_ms(), runtime.rng),
            RetryPolicy(first_s=float(config.retry_s)),
            runtime.rng,
            config.outbox_bytes,
        )
        self._packer = Packer(runtime.gateway, self._outbox, MAX_LOCAL_BYTES, self._limited_log)

    def start(self) -> None:
        """Subscribe, then begin to read."""
        self._runtime.bus.subscribe(topics.READINGS_ACK, self.on_acknowledgement)
        self._open_wanted()

    def tick(self) -> None:
        """Poll the sources, flush by size or age, send what is due."""
        self._open_wanted()
        for _settings, source in self._sources.values():
            self._poll(source)
        now = self._clock.monotonic()
        old = self._oldest is not None and now - self._oldest >= self._config.max_age_ms / 1000
        # A broker that awaits this many acknowledgements sends no more until it has some.
        if old or self._receipts.uncut >= self._config.mqtt_inflight:
            self._flush()
        self._receipts.settle(self._outbox.oldest)
        self._send(now)

    def reconfigure(self, config: Config) -> None:
        """Restart only the sources whose settings changed; what they had is read first."""
        self._wanted = config.sources(self._runtime.gateway)
        for name in [name for name, (settings, _) in self._sources.items() if self._wanted.get(name) != settings]:
            self._close_source(name)
        self._flush()
        self._directory.describe(config.series, config.max_series)
        self._config = config
        self._closed.clear()
        self._outbox.set_limits(RetryPolicy(first_s=float(config.retry_s)), config.outbox_bytes)
        self._open_wanted()

    def close(self) -> None:
        """Stop reading and hand over what has been read."""
        for name in list(self._sources):
            self._close_source(name)
        self._flush()
        self._send(self._clock.monotonic())
        if len(self._receipts):
            self._runtime.log.info(
                "%d publications stay unacknowledged: the broker sends them again", len(self._receipts)
            )
        if len(self._outbox):
            self._runtime.log.warning("stopped with %d batches sent and not acknowledged", len(self._outbox))

    def on_acknowledgement(self, _topic: str, payload: bytes) -> None:
        """Free what the aggregator holds."""
        free_acknowledged(self._outbox, payload, self._counters, self._limited_log)

    def _open_wanted(self) -> None:
        """Open each source that is wanted and not open, and was not tried a short while ago."""
        now = self._clock.monotonic()
        for name, settings in self._wanted.items():
            if name in self._sources or now < self._closed.get(name, now):
                continue
            source = self._open(settings)
            try:
                source.start()
            except SourceError as error:
                self._closed[name] = now + REOPEN_SECONDS
                self._limited_log.warning("sources_failed", f"{error}; tried again every {REOPEN_SECONDS:g} s")
                continue
            self._sources[name] = (settings, source)
            self._runtime.log.info("source %s is open", name)

    def _close_source(self, name: str) -> None:
        _settings, source = self._sources.pop(name)
        source.close()
        self._poll(source)

    def _poll(self, source: Source) -> None:
        before = len(self._intake)
        source.poll(self._sink)
        after = len(self._intake)
        self._counters.add("readings", after - before)
        if after and self._oldest is None:
            self._oldest = self._clock.monotonic()
        if self._packer.full(after, ROW_BYTES, self._intake.directory_bytes):
            self._flush()

    def _flush(self) -> None:
        """Cut the intake into batches; where the outbox is full the oldest go, for most sensors cannot wait.

        Whatever fails on the way, a reading stays in the intake until it is in a batch: else the receipts, which count
        readings, would tell the broker of one that nobody has.
        """
        readings = self._intake.held()
        while len(readings):
            while self._outbox.room < MAX_LOCAL_BYTES:
                self._drop_oldest()
            sequence = self._outbox.next_sequence
            taken = self._packer.put(readings)
            self._receipts.cut(sequence, taken)
            self._intake.forget(taken)
            self._counters.add("batches")
            readings = select(readings, slice(taken, None))
        self._oldest = None

    def _drop_oldest(self) -> None:
        dropped = self._outbox.drop_oldest()
        if dropped is not None:
            readings = len(readings_message.decode(dropped[1]).rows)
            self._limited_log.warning("readings_dropped", "the outbox is full: is the aggregator running?", readings)

    def _send(self, now: float) -> None:
        send_due(self._outbox, self._runtime.bus, topics.READINGS, now, self._counters, self._limited_log)
