"""Loop of the forwarder, against ports: store received batches, acknowledge them, form batches, send and free them.

A received batch is acknowledged after the spool has committed it, and a batch leaves the spool after the cloud has
acknowledged it. While the disk rejects writes (full, read-only, unusable spool) nothing is acknowledged, and the
operation is retried.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edge_components.common import aggregates_message
from edge_components.common.delivery import Transmitter, try_publish
from edge_components.common.handover import RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.journal import CommitPolicy
from edge_components.common.lifecycle import Runtime
from edge_components.common.receiving import BatchReceiver
from edge_components.common.version import VERSION
from edge_components.forwarder.batching import Batcher, FormedBatch, RejectedRows
from edge_components.forwarder.cloud_link.links import Links
from edge_components.forwarder.config import Config
from edge_components.forwarder.errors import SpoolError, SpoolUnusableError
from edge_components.forwarder.intake import Intake
from edge_components.forwarder.profiles import Profiles
from edge_components.forwarder.prometheus import exposition
from edge_components.forwarder.spool.entries import ReceivedBatch
from edge_components.forwarder.spool.overflow import Overflow
from edge_components.forwarder.spool.spool import Spool
from edge_components.forwarder.uplink import Rates, Uplink
from wire import codec, topics
from wire.anomaly import is_version
from wire.errors import WireError
from wire.model import Aggregates, Anomalies, Notice
from wire.topics import Lane

MAX_COUNTERS = 64
DISK_RETRY_SECONDS = 1.0
LOSS_NOTICE_SECONDS = 10.0
METRICS_SECONDS = 5.0
"""Interval at which the metrics are renewed."""
STALE_SECONDS = 60.0
"""Seconds without a health report after which a component counts as one that stopped reporting."""


class Metrics(Protocol):
    """Port of the server of the metrics; see edge_components.forwarder.metrics_server."""

    text: bytes

    def listen(self, port: int) -> None:
        """Listen on a port, 0 to stop; raises OSError."""

    def close(self) -> None:
        """Stop listening."""


class Forwarder:
    """Implementation of edge_components.common.lifecycle.Component."""

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        open_spool: Callable[[], Spool],
        free_disk: Callable[[], int],
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics, self._metrics_due = metrics, 0.0
        self._config, self._runtime, self._free_disk = config, runtime, free_disk
        self._open_spool = open_spool
        self._opened: Spool | None = None
        self._counters: Counters = runtime.counters
        self._log: logging.Logger = runtime.log
        self._limited_log = runtime.limited_log
        self._receiver = BatchReceiver[Aggregates | Anomalies](
            topics.SCORED, runtime.gateway, (Aggregates, Anomalies), runtime.limited_log
        )
        self._intake = Intake()
        self._to_acknowledge: dict[int, None] = {}
        self._health: dict[str, Mapping[str, int]] = {}
        self._versions: dict[str, str] = {}
        self._reported_at: dict[str, float] = {}
        self._reported_losses: Mapping[str, int] = {}
        self._loss_events = -1
        self._disk_retry_at: float | None = None
        self._reopen = True
        self._profiles: Profiles | None = None
        self._links = Links(runtime)
        self._link = self._links.open(config)
        self._transmitter = Transmitter(self._publish, runtime.counters, runtime.limited_log, runtime.rng)
        try:
            self._open_if_needed()
            self._rebuild(runtime.clock.monotonic())
        except SpoolError as error:
            self._disk_failed(error)

    @property
    def _spool(self) -> Spool:
        if self._opened is None:
            raise SpoolError("the spool is not open")
        return self._opened

    def start(self) -> None:
        """Subscribe, and log the content of the spool."""
        bus = self._runtime.bus
        self._listen()
        bus.subscribe(topics.SCORED, self.on_scored, expects_traffic=True)
        bus.subscribe(topics.HEALTH, self.on_health, expects_traffic=True)
        self._transmitter.subscription = self._link.start(self.on_acknowledgement)
        if self._opened is None:
            return
        waiting = {str(lane): number for lane, number in self._spool.counts().items()}
        fields = {"epoch": f"{self._spool.epoch:016x}", "bytes": self._spool.size, "batches": waiting}
        self._log.info("spool", extra={"fields": fields})

    def on_scored(self, _topic: str, payload: bytes) -> None:
        """Stage a batch of scored aggregates or of anomalies for the next commit, any other one for the quarantine."""
        received = self._receiver.receive(payload)
        if received is None or self._opened is None:  # not acknowledged: the sender keeps the batch
            return
        batch, rows = received
        name = (batch.epoch, batch.sequence)
        if self._spool.holds(*name):
            self._to_acknowledge[batch.epoch] = None
            self._counters.add("batches_repeated")
        elif name in self._intake:
            self._counters.add("batches_repeated")
        else:
            unusable = "" if rows is not None else f"rows of an unexpected kind: {type(batch.rows).__name__}"
            arrival = ReceivedBatch(*name, _lane(rows), len(batch.rows), payload, unusable)
            self._intake.add(arrival, rows, self._runtime.clock.monotonic())

    def on_acknowledgement(self, topic: str, payload: bytes) -> None:
        """Free the batches that the cloud has stored."""
        ack = self._transmitter.read_acknowledgement(topic, payload)
        if ack is None:
            return
        self._counters.add("acknowledgements")
        if self._opened is None:
            return
        try:
            self._uplink.acknowledge(ack, self._runtime.clock.monotonic())
        except SpoolError as error:
            # The batches are kept and sent again; the next acknowledgement frees them.
            self._disk_failed(error)

    def on_health(self, _topic: str, payload: bytes) -> None:
        """Keep the newest counters of a component, and its version, for the next notice."""
        try:
            body = json.loads(payload)
            counters = {str(name): int(value) for name, value in body["counters"].items()}
            component = str(body["component"])[:64]
            version = str(body.get("version", ""))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            self._limited_log.warning("health_unreadable", f"{type(error).__name__}: {error}")
            return
        if component in self._health or len(self._health) < MAX_COUNTERS:
            self._health[component] = dict(list(counters.items())[:MAX_COUNTERS])
            self._reported_at[component] = self._runtime.clock.monotonic()
            if is_version(version):
                self._versions[component] = version

    def tick(self) -> float:
        """Store, form, acknowledge and send what is due; return the seconds until the next call."""
        now = self._runtime.clock.monotonic()
        if self._disk_retry_at is not None and now < self._disk_retry_at:
            return self._disk_retry_at - now
        try:
            if self._disk_retry_at is not None:
                self._open_if_needed()
                self._rebuild(now)
            with self._spool.group():
                if self._intake.due(now, self._commit_policy):
                    self._store(now)
                self._form(now)
                numbered = self._uplink.number(now)
            self._acknowledge()
            self._uplink.pump(now, numbered)
            self._transmitter.check()
            self._expose(now)
        except SpoolError as error:
            self._disk_failed(error)
            return DISK_RETRY_SECONDS
        return self._next_s(now)

    def reconfigure(self, config: Config) -> None:
        """Apply another configuration; batches that are already formed stay as they are."""
        other_link = (config.uplink, config.mqtt) != (self._config.uplink, self._config.mqtt)
        self._config = config
        if other_link:
            self._link.close()
        if other_link or config.uplink == "greengrass":
            self._link = self._links.open(config)
            self._transmitter.subscription = self._link.start(self.on_acknowledgement)
        self._listen()
        self._rebuild(self._runtime.clock.monotonic())

    def health(self) -> Mapping[str, Any]:
        """Return the state of the link to the cloud, if the nucleus does not report it."""
        state = self._link.health()
        return {"uplink": dict(state)} if state else {}

    def close(self) -> None:
        """Commit and acknowledge received batches; unsent batches stay in the spool for the next start."""
        if self._metrics is not None:
            self._metrics.close()
        self._link.close()
        if self._opened is None:
            return
        try:
            self._store(self._runtime.clock.monotonic())
            self._acknowledge()
        except SpoolError as error:
            self._disk_failed(error)
        self._spool.close()

    def _publish(self, topic: str, payload: bytes) -> None:
        self._link.publish(topic, payload)

    def _rebuild(self, now: float) -> None:
        """Build the objects that use the spool: at the start, for another configuration, after a failure."""
        config, runtime = self._config, self._runtime
        room = codec.room(runtime.gateway, config.batch_max_bytes)
        self._commit_policy = CommitPolicy(config.commit_ms / 1000)
        self._notice_due = now + config.notice_interval_s
        self._loss_notice_due = now
        self._batcher = Batcher(codec.pack, room, config.batch_max_age_s, self._reject)
        self._overflow = Overflow(self._spool, room, config.merge_max_window_s * 1000, self._limited_log)
        if config.ack != "cloud" or config.profile_interval_s <= 0:
            self._profiles = None  # a cloud that does not acknowledge cannot report a missing profile
        elif self._profiles is None:
            self._profiles = Profiles(config.profile_interval_s, room, runtime.counters, self._log)
        else:
            self._profiles.reset_pending()
            self._profiles.interval_s = config.profile_interval_s
        self._uplink = Uplink(
            self._spool,
            self._transmitter,
            runtime.gateway,
            RetryPolicy(config.in_flight, config.retry_first_s, config.retry_longest_s),
            Rates(config.send_per_s, config.backfill_per_s),
            runtime.counters,
            runtime.rng,
            now,
            self._link.topic,
            await_cloud=config.ack == "cloud",
            profiles=self._profiles,
        )
        self._queue_pending(now)
        self._disk_retry_at = None

    def _queue_pending(self, now: float) -> None:
        for pending in self._spool.pending():
            try:
                rows = aggregates_message.decode(pending.payload).rows
            except WireError as error:
                reason = f"{type(error).__name__}: {error}"
                self._spool.quarantine_pending(pending.id, reason)
                self._limited_log.error(
                    "dropped_rows_unreadable", f"pending rows in the spool: {reason}", pending.rows - pending.used
                )
                continue
            if isinstance(rows, Aggregates):
                self._batcher.add(pending.lane, rows.take(slice(pending.used, None)), now)
            elif isinstance(rows, Anomalies):
                self._batcher.add(pending.lane, Anomalies(rows.reports[pending.used :]), now)

    def _form(self, now: float) -> None:
        """Store every batch that is due in the spool."""
        self._add_notice_if_due(now)
        for formed in self._batcher.due(now):
            self._put(formed, now)
        self._put_profile(self._profiles.requested() if self._profiles is not None else None)

    def _next_s(self, now: float) -> float:
        due = [self._intake.wait_s(now, self._commit_policy), self._uplink.next_s(now)]
        if (batch_due := self._batcher.next_due()) is not None:
            due.append(batch_due - now)
        if self._config.notice_interval_s > 0:
            due.append(self._notice_due - now)
        if self._spool.loss_events != self._loss_events:
            due.append(self._loss_notice_due - now)
        if self._config.metrics_port:
            due.append(self._metrics_due - now)
        return max(0.0, min(due))

    def _store(self, now: float) -> None:
        """Store the staged batches in the spool; if they do not fit, their senders keep them."""
        staged = self._intake.take()
        if not staged:
            return
        batches = [batch for batch, _ in staged]
        self._to_acknowledge |= dict.fromkeys(batch.epoch for batch in batches)
        spool, config = self._spool, self._config
        needed = sum(len(batch.payload) for batch in batches)
        # If other programs have filled the disk, no rows of the spool are dropped: senders wait.
        short = needed > self._free_disk() + spool.reusable() - config.disk_keep_free_bytes
        spool.max_bytes = config.spool_max_bytes
        if short or not self._overflow.make_room(needed, self._runtime.clock.wall_ms()):
            # Not acknowledged, so the senders keep the batches and send them again.
            self._limited_log.warning("batches_deferred", "the spool or the disk is full", len(batches))
            return
        spool.store(batches)
        self._counters.add("batches_taken_in", len(batches))
        for batch, rows in staged:
            if rows is not None:
                self._counters.add(f"rows_taken_in_{batch.lane}", batch.rows)
                self._batcher.add(batch.lane, rows, now)

    def _acknowledge(self) -> None:
        """Acknowledge the stored batches to each sender; a lost acknowledgement is repeated with the next batch."""
        epochs, self._to_acknowledge = self._to_acknowledge, {}
        for epoch in epochs:
            ack = self._spool.acknowledgement(epoch).encode()
            try_publish(self._runtime.bus, topics.SCORED_ACK, ack, "acknowledgement", self._limited_log)

    def _add_notice_if_due(self, now: float) -> None:
        """Add a notice with the counters when it is due, and soon after a loss."""
        due = self._config.notice_interval_s > 0 and now >= self._notice_due
        lossy = self._spool.loss_events != self._loss_events and now >= self._loss_notice_due
        if not due and not lossy:
            return
        losses = self._spool.losses()
        self._loss_events, self._loss_notice_due = self._spool.loss_events, now + LOSS_NOTICE_SECONDS
        if due or losses != self._reported_losses:
            self._reported_losses = losses
            self._notice_due = now + self._config.notice_interval_s
            counters = {
                **self._health,
                "Forwarder": self._counters.snapshot(),
                "Spool": losses,
                "Status": self._status(now),
            }
            versions = {**self._versions, "Forwarder": VERSION}
            self._batcher.add(Lane.BULK, Notice(self._runtime.clock.wall_ms(), counters, versions), now)

    def _listen(self) -> None:
        """Listen on the configured port of the metrics; a port that cannot be used is logged and counted."""
        port = self._config.metrics_port
        if self._metrics is None:
            if not port:
                return
            # Imported on demand: a web server needs memory.
            from edge_components.forwarder.metrics_server import MetricsServer

            self._metrics = MetricsServer()
        try:
            self._metrics.listen(port)
        except OSError as error:
            self._limited_log.error("metrics_failed", f"metrics_port {port}: {error.strerror}")

    def _expose(self, now: float) -> None:
        """Renew the metrics when they are due."""
        if self._metrics is None or not self._config.metrics_port or now < self._metrics_due:
            return
        self._metrics_due = now + METRICS_SECONDS
        counters = {**self._health, "Forwarder": self._counters.snapshot(), "Spool": self._spool.losses()}
        self._metrics.text = exposition(self._runtime.gateway, counters, self._status(now))

    def _status(self, now: float) -> dict[str, int]:
        """Return the state of the gateway: the size of the spool, and the components that stopped reporting.

        A component reports every few seconds; ``stale_<component>`` is the number of seconds since its last report.
        """
        status = {"spool_bytes": self._spool.size, "spool_batches": sum(self._spool.counts().values())}
        for component, reported in self._reported_at.items():
            if now - reported >= STALE_SECONDS:
                status[f"stale_{component}"] = round(now - reported)
        return status

    def _put(self, formed: FormedBatch, now: float) -> None:
        rows = len(formed.rows)
        used = 0 if isinstance(formed.rows, Notice) else rows
        self._spool.put(formed.lane, formed.body, used, used, self._runtime.clock.wall_ms())
        self._counters.add("batches_formed")
        self._counters.add(f"rows_formed_{formed.lane}", rows)
        if self._profiles is not None and isinstance(formed.rows, Aggregates):
            self._put_profile(self._profiles.formed(formed.rows, formed.body, now))

    def _put_profile(self, packed: bytes | None) -> None:
        """Store a profile in the spool, to be sent as a batch without rows."""
        if packed is not None and self._profiles is not None:
            self._profiles.spooled(self._spool.put(Lane.BULK, packed, 0, 0, self._runtime.clock.wall_ms()))
            self._counters.add("profiles_sent")

    def _reject(self, rejected: RejectedRows) -> None:
        """Move a row that fits into no batch to the quarantine, so that it does not block others."""
        self._limited_log.error(
            "dropped_rows_too_large", f"{type(rejected.error).__name__}: {rejected.error}", len(rejected.rows)
        )
        if isinstance(rejected.rows, Notice):
            return
        try:
            kept = codec.pack(rejected.rows)
        except WireError:
            kept = None
        self._spool.quarantine_rows(rejected.lane, len(rejected.rows), kept, str(rejected.error))

    def _open_if_needed(self) -> None:
        """Open the spool, again if its connection is unusable; raises SpoolError."""
        if not self._reopen:
            return
        if self._opened is not None:
            self._opened.abandon()
            self._opened = None
        self._opened = self._open_spool()
        self._reopen, self._loss_events = False, -1

    def _disk_failed(self, error: SpoolError) -> None:
        """Schedule a retry, which begins from the content of the spool."""
        self._limited_log.error("spool_failed", f"nothing is acknowledged until the spool works again: {error}")
        self._reopen |= isinstance(error, SpoolUnusableError)
        self._disk_retry_at = self._runtime.clock.monotonic() + DISK_RETRY_SECONDS


def _lane(rows: Aggregates | Anomalies | None) -> Lane:
    """Return the lane of received rows: anomalies do not wait, revisions of late readings do not delay live rows."""
    if isinstance(rows, Anomalies):
        return Lane.URGENT
    return Lane.BACKFILL if rows is not None and len(rows) and bool((rows.revision > 0).all()) else Lane.BULK
