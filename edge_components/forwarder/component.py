"""The forwarder's loop, against ports: take in, acknowledge, form batches, send, free.

Nothing is acknowledged to its sender before the spool has committed it, and nothing leaves the spool before the cloud
has acknowledged it. When the disk refuses (full, read-only), nothing is acknowledged, and it is tried again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from edge_components.common import aggregates_message
from edge_components.common.delivery import AcknowledgementWatch, Pause
from edge_components.common.errors import BusError
from edge_components.common.handover import RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.lifecycle import Runtime
from edge_components.common.ports import Subscription
from edge_components.forwarder.batching import Batcher, Filled, Refused, Waiting
from edge_components.forwarder.config import Config
from edge_components.forwarder.errors import SpoolDamagedError, SpoolError, SpoolReadOnlyError
from edge_components.forwarder.overflow import Overflow
from edge_components.forwarder.profiles import Profiles
from edge_components.forwarder.rows import Arrival
from edge_components.forwarder.spool import Spool
from edge_components.forwarder.uplink import Rates, Uplink
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.errors import WireError
from wire.model import Aggregates, Anomalies, Notice
from wire.topics import Lane

MAX_COUNTERS = 64
DISK_RETRY_SECONDS = 1.0
LOSS_NOTICE_SECONDS = 10.0


class Forwarder:
    """See edge_components.common.lifecycle.Component for the methods' places in its life."""

    def __init__(
        self, config: Config, runtime: Runtime, open_spool: Callable[[], Spool], free_disk: Callable[[], int]
    ) -> None:
        self._config, self._runtime, self._free_disk = config, runtime, free_disk
        self._open_spool, self._spool = open_spool, open_spool()
        self._counters: Counters = runtime.counters
        self._log: logging.Logger = runtime.log
        self._arrivals: dict[tuple[int, int], tuple[Arrival, Waiting]] = {}
        self._to_acknowledge: dict[int, None] = {}
        self._health: dict[str, Mapping[str, int]] = {}
        self._told_losses: Mapping[str, int] = {}
        self._disk_retry_at: float | None = None
        self._disk_told = self._reopen = False
        self._profiles: Profiles | None = None
        self._acknowledgements: Subscription | None = None
        self._watch, self._pause = AcknowledgementWatch(), Pause(runtime.rng)
        self._begin(runtime.clock.monotonic())

    def start(self) -> None:
        """Take up what a former process left, and subscribe."""
        bus, gateway = self._runtime.bus, self._runtime.gateway
        bus.subscribe(topics.SCORED, self.on_scored, expects_traffic=True)
        bus.subscribe(topics.HEALTH, self.on_health, expects_traffic=True)
        self._acknowledgements = bus.subscribe_to_iot_core(topics.ack(gateway), self.on_acknowledgement)
        waiting = {str(lane): number for lane, number in self._spool.counts().items()}
        fields = {"epoch": f"{self._spool.epoch:016x}", "bytes": self._spool.size, "batches": waiting}
        self._log.info("spool", extra={"fields": fields})

    def on_scored(self, _topic: str, payload: bytes) -> None:
        """Stage a batch of scored aggregates or of anomalies for the next commit."""
        try:
            batch = aggregates_message.decode(payload)
        except WireError as error:
            self._counters.add("batches_unreadable")
            self._log.warning("a local batch cannot be read: %s: %s", type(error).__name__, error)
            return
        if not isinstance(batch.rows, Aggregates | Anomalies):
            self._counters.add("batches_unexpected")
            self._log.warning("a local batch of %s is not for the forwarder", type(batch.rows).__name__)
            return
        self._to_acknowledge[batch.epoch] = None
        name = (batch.epoch, batch.sequence)
        if name in self._arrivals or self._spool.holds(*name):
            self._counters.add("batches_repeated")
            return
        lane = Lane.URGENT if isinstance(batch.rows, Anomalies) else Lane.BULK
        self._arrivals[name] = (Arrival(*name, lane, len(batch.rows), payload), batch.rows)

    def on_acknowledgement(self, _topic: str, payload: bytes) -> None:
        """Free what the cloud has stored."""
        try:
            ack = Acknowledgement.decode(payload)
        except WireError as error:
            self._counters.add("acknowledgements_unreadable")
            self._log.warning("an acknowledgement cannot be read: %s", error)
            return
        self._counters.add("acknowledgements")
        self._watch.acknowledged()
        try:
            self._uplink.acknowledge(ack)
        except SpoolError as error:
            # The batches stay and go again; the acknowledgement of that frees them.
            self._disk_failed(error)

    def on_health(self, _topic: str, payload: bytes) -> None:
        """Keep a component's newest counters for the next notice."""
        try:
            body = json.loads(payload)
            counters = {str(name): int(value) for name, value in body["counters"].items()}
            component = str(body["component"])[:64]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            self._counters.add("health_unreadable")
            self._log.warning("a component's counters cannot be read: %s", error)
            return
        if component in self._health or len(self._health) < MAX_COUNTERS:
            self._health[component] = dict(list(counters.items())[:MAX_COUNTERS])

    def tick(self) -> float:
        """Commit what came, acknowledge it, form what is due, send."""
        now = self._runtime.clock.monotonic()
        if self._disk_retry_at is not None and now < self._disk_retry_at:
            return self._disk_retry_at - now
        try:
            if self._disk_retry_at is not None:
                self._open_again()
                self._begin(now)
            self._commit(now)
            self._acknowledge()
            self._collect_notice(now)
            for filled in self._batcher.due(now):
                self._put(filled, now)
            self._put_profile(self._profiles.again() if self._profiles is not None else None)
            self._uplink.pump(now)
            self._watch.check(self._acknowledgements)
            self._disk_told = False
        except SpoolError as error:
            self._disk_failed(error)
            return DISK_RETRY_SECONDS
        batch_due = self._batcher.next_due()
        notice_due = self._notice_due if self._config.notice_interval_s > 0 else now + LOSS_NOTICE_SECONDS
        due = min(self._loss_notice_due, notice_due, now + self._uplink.next_s(now))
        return max(0.0, (due if batch_due is None else min(due, batch_due)) - now)

    def reconfigure(self, config: Config) -> None:
        """Go on with another configuration; batches that wait were made under the old one and stay as they are."""
        self._config = config
        self._begin(self._runtime.clock.monotonic())

    def close(self) -> None:
        """Commit and acknowledge what came; what is not sent stays in the spool for the next start."""
        try:
            self._commit(self._runtime.clock.monotonic())
            self._acknowledge()
        except SpoolError as error:
            self._disk_failed(error)
        self._spool.close()

    def _begin(self, now: float) -> None:
        """Build what works on the spool, from the spool: at the start, on another configuration, after a refusal."""
        config, runtime = self._config, self._runtime
        room = codec.room(runtime.gateway, config.batch_max_bytes)
        self._notice_due = now + config.notice_interval_s
        self._loss_notice_due = now
        self._batcher = Batcher(codec.pack, room, config.batch_max_age_s, self._refuse)
        self._overflow = Overflow(self._spool, runtime.gateway, room, config.merge_max_window_s * 1000, self._log)
        if config.ack != "cloud" or config.profile_interval_s <= 0:
            self._profiles = None  # a cloud that does not answer cannot say that it lacks one
        elif self._profiles is None:
            self._profiles = Profiles(config.profile_interval_s, room, runtime.counters, self._log)
        else:
            self._profiles.forgotten()
            self._profiles.interval_s = config.profile_interval_s
        self._uplink = Uplink(
            self._spool,
            runtime.bus.publish_to_iot_core,
            runtime.gateway,
            RetryPolicy(config.in_flight, config.retry_first_s, config.retry_longest_s),
            Rates(config.send_per_s, config.backfill_per_s),
            runtime.counters,
            runtime.rng,
            now,
            await_cloud=config.ack == "cloud",
            profiles=self._profiles,
            watch=self._watch,
            pause=self._pause,
        )
        self._take_up_pending(now)
        self._disk_retry_at = None

    def _take_up_pending(self, now: float) -> None:
        for pending in self._spool.pending():
            try:
                rows = aggregates_message.decode(pending.payload).rows
            except WireError as error:
                self._spool.discard_pending(pending.id, f"{type(error).__name__}: {error}")
                self._log.error("rows in the spool cannot be read and are set aside: %s", error)
                continue
            if isinstance(rows, Aggregates):
                self._batcher.add(pending.lane, rows.take(slice(pending.used, None)), now)
            elif isinstance(rows, Anomalies):
                self._batcher.add(pending.lane, Anomalies(rows.reports[pending.used :]), now)

    def _commit(self, now: float) -> None:
        if not self._arrivals:
            return
        staged = list(self._arrivals.values())
        self._arrivals = {}
        arrivals = [arrival for arrival, _ in staged]
        spool, config = self._spool, self._config
        needed = sum(len(arrival.payload) for arrival in arrivals)
        # A disk that others have filled is no reason to drop what the spool has: senders wait.
        short = needed > self._free_disk() + spool.reusable() - config.disk_keep_free_bytes
        spool.max_bytes = config.spool_max_bytes
        if short or not self._overflow.make_room(needed, self._runtime.clock.wall_ms()):
            # Not acknowledged, so the senders keep them and offer them again.
            self._counters.add("batches_refused_spool_full", len(arrivals))
            return
        spool.take_in(arrivals)
        self._counters.add("batches_taken_in", len(arrivals))
        for arrival, rows in staged:
            self._counters.add(f"rows_taken_in_{arrival.lane}", arrival.rows)
            self._batcher.add(arrival.lane, rows, now)

    def _acknowledge(self) -> None:
        """Tell each sender what the spool holds; one that cannot be told now is told when it repeats itself."""
        epochs, self._to_acknowledge = self._to_acknowledge, {}
        for epoch in epochs:
            try:
                self._runtime.bus.publish(topics.SCORED_ACK, self._spool.acknowledgement(epoch).encode())
            except BusError as error:
                self._runtime.limited_log.warning("publish_failed", f"acknowledgement: {error}", key=topics.SCORED_ACK)

    def _collect_notice(self, now: float) -> None:
        """Tell the cloud the counters when their time has come, and a loss soon after it happened."""
        due = self._config.notice_interval_s > 0 and now >= self._notice_due
        if not due and now < self._loss_notice_due:
            return
        losses = self._spool.losses()
        self._loss_notice_due = now + LOSS_NOTICE_SECONDS
        if due or losses != self._told_losses:
            self._told_losses = losses
            self._notice_due = now + self._config.notice_interval_s
            counters = {**self._health, "Forwarder": self._counters.snapshot(), "Spool": losses}
            self._batcher.add(Lane.BULK, Notice(self._runtime.clock.wall_ms(), counters), now)

    def _put(self, filled: Filled, now: float) -> None:
        rows = len(filled.rows)
        used = 0 if isinstance(filled.rows, Notice) else rows
        self._spool.put(filled.lane, filled.body, used, used, self._runtime.clock.wall_ms())
        self._counters.add("batches_formed")
        self._counters.add(f"rows_formed_{filled.lane}", rows)
        if self._profiles is not None and isinstance(filled.rows, Aggregates):
            self._put_profile(self._profiles.formed(filled.rows, filled.body, now))

    def _put_profile(self, packed: bytes | None) -> None:
        """Let the cloud have a profile, as a batch without rows."""
        if packed is not None and self._profiles is not None:
            self._profiles.spooled(self._spool.put(Lane.BULK, packed, 0, 0, self._runtime.clock.wall_ms()))
            self._counters.add("profiles_sent")

    def _refuse(self, refused: Refused) -> None:
        """Set a row that no batch can hold aside with its reason, so that it blocks none of the others."""
        self._counters.add("rows_refused", len(refused.rows))
        self._log.error("a row cannot be sent: %s: %s", type(refused.error).__name__, refused.error)
        if isinstance(refused.rows, Notice):
            return
        try:
            kept = codec.pack(refused.rows)
        except WireError:
            kept = None
        self._spool.set_aside(refused.lane, len(refused.rows), kept, str(refused.error))

    def _open_again(self) -> None:
        """Open the spool again where the connection to it is of no more use; raises SpoolError."""
        if self._reopen:
            self._spool.close()
            self._spool = self._open_spool()
            self._reopen = False

    def _disk_failed(self, error: SpoolError) -> None:
        """Leave the spool alone for a while, and then begin again from what it holds."""
        self._counters.add("spool_failed")
        self._reopen |= isinstance(error, SpoolDamagedError | SpoolReadOnlyError)
        if not self._disk_told:  # said once, until it works again
            self._disk_told = True
            self._log.error("the spool cannot be used, nothing is acknowledged until it can: %s", error)
        self._disk_retry_at = self._runtime.clock.monotonic() + DISK_RETRY_SECONDS
