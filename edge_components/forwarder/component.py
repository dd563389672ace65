"""The forwarder's loop, against ports: take in, acknowledge, form batches, send, free.

Nothing is acknowledged to its sender before the spool has committed it, and nothing leaves the spool before the cloud
has acknowledged it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from edge_components.common.errors import BusError, ConnectionLostError
from edge_components.common.handover import RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.lifecycle import Runtime
from edge_components.forwarder.batching import Batcher, Filled, Refused, Waiting
from edge_components.forwarder.config import Config
from edge_components.forwarder.errors import SpoolFullError
from edge_components.forwarder.spool import Spool
from edge_components.forwarder.uplink import Uplink
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.errors import WireError
from wire.model import Aggregates, Anomalies, Notice
from wire.topics import Lane

MAX_COUNTERS = 64


class Forwarder:
    """See edge_components.common.lifecycle.Component for the methods' places in its life."""

    def __init__(self, config: Config, runtime: Runtime, spool: Spool) -> None:
        self._config, self._runtime, self._spool = config, runtime, spool
        self._counters: Counters = runtime.counters
        self._log: logging.Logger = runtime.log
        self._arrivals: dict[tuple[int, int], tuple[Lane, bytes, Waiting]] = {}
        self._to_acknowledge: dict[int, None] = {}
        self._health: dict[str, Mapping[str, int]] = {}
        self._notice_due = runtime.clock.monotonic() + config.notice_interval_s
        self._spool_full = False
        self._batcher = self._make_batcher()
        self._uplink = self._make_uplink()

    def start(self) -> None:
        """Take up what a former process left, and subscribe."""
        if self._spool.damaged is not None:
            self._counters.add("spool_damaged")
            self._log.error("the spool was damaged and is kept as %s; a new one begins", self._spool.damaged)
        self._take_up_pending()
        bus, gateway = self._runtime.bus, self._runtime.gateway
        bus.subscribe(topics.SCORED, self.on_scored)
        bus.subscribe(topics.HEALTH, self.on_health)
        bus.subscribe_to_iot_core(topics.ack(gateway), self.on_acknowledgement)
        self._log.info("spool", extra={"fields": {"epoch": f"{self._spool.epoch:016x}", "bytes": self._spool.size}})

    def on_scored(self, _topic: str, payload: bytes) -> None:
        """Stage a batch of scored aggregates or of anomalies for the next commit."""
        try:
            batch = codec.decode(payload)
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
        self._arrivals[name] = (lane, payload, batch.rows)

    def on_acknowledgement(self, _topic: str, payload: bytes) -> None:
        """Free what the cloud has stored."""
        try:
            ack = Acknowledgement.decode(payload)
        except WireError as error:
            self._counters.add("acknowledgements_unreadable")
            self._log.warning("an acknowledgement cannot be read: %s", error)
            return
        self._counters.add("acknowledgements")
        self._uplink.acknowledge(ack)

    def on_health(self, _topic: str, payload: bytes) -> None:
        """Keep a component's newest counters for the next notice."""
        try:
            body = json.loads(payload)
            counters = {str(name): int(value) for name, value in body["counters"].items()}
            component = str(body["component"])[:64]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._counters.add("health_unreadable")
            self._log.warning("a component's counters cannot be read: %s", error)
            return
        if component in self._health or len(self._health) < MAX_COUNTERS:
            self._health[component] = dict(list(counters.items())[:MAX_COUNTERS])

    def tick(self) -> None:
        """Commit what came, acknowledge it, form what is due, send."""
        now = self._runtime.clock.monotonic()
        self._commit(now)
        self._acknowledge()
        self._collect_notice(now)
        for filled in self._batcher.due(now):
            self._put(filled)
        self._uplink.pump(now)

    def reconfigure(self, config: Config) -> None:
        """Go on with another configuration; batches that wait were made under the old one and stay as they are."""
        self._config = config
        self._spool.max_bytes = config.spool_max_bytes
        self._notice_due = self._runtime.clock.monotonic() + config.notice_interval_s
        self._batcher, self._uplink = self._make_batcher(), self._make_uplink()
        self._take_up_pending()

    def close(self) -> None:
        """Commit and acknowledge what came; what is not sent stays in the spool for the next start."""
        self._commit(self._runtime.clock.monotonic())
        self._acknowledge()
        self._spool.close()

    def _make_batcher(self) -> Batcher:
        room = codec.room(self._runtime.gateway, self._config.batch_max_bytes)
        return Batcher(codec.pack, room, self._config.batch_max_age_s, self._refuse)

    def _make_uplink(self) -> Uplink:
        config, runtime = self._config, self._runtime
        policy = RetryPolicy(config.in_flight, config.retry_first_s, config.retry_longest_s)
        return Uplink(
            self._spool,
            runtime.bus.publish_to_iot_core,
            runtime.gateway,
            policy,
            runtime.counters,
            runtime.rng,
            await_cloud=config.ack == "cloud",
        )

    def _take_up_pending(self) -> None:
        now = self._runtime.clock.monotonic()
        for pending in self._spool.pending():
            rows = codec.decode(pending.payload).rows
            if isinstance(rows, Aggregates):
                self._batcher.add(pending.lane, rows.take(slice(pending.used, None)), now)
            elif isinstance(rows, Anomalies):
                self._batcher.add(pending.lane, Anomalies(rows.reports[pending.used :]), now)

    def _commit(self, now: float) -> None:
        if not self._arrivals:
            return
        arrivals = self._arrivals
        self._arrivals = {}
        try:
            self._spool.take_in([(*name, lane, len(rows), payload) for name, (lane, payload, rows) in arrivals.items()])
        except SpoolFullError as error:
            # Not acknowledged, so its sender keeps it and offers it again.
            self._counters.add("batches_refused_spool_full", len(arrivals))
            if not self._spool_full:
                self._log.error("%s: senders must wait", error)
            self._spool_full = True
            return
        self._spool_full = False
        self._counters.add("batches_taken_in", len(arrivals))
        for lane, _, rows in arrivals.values():
            self._counters.add(f"rows_taken_in_{lane}", len(rows))
            self._batcher.add(lane, rows, now)

    def _acknowledge(self) -> None:
        """Tell each sender what the spool holds; one that cannot be told now is told when it repeats itself."""
        epochs, self._to_acknowledge = self._to_acknowledge, {}
        for epoch in epochs:
            try:
                self._runtime.bus.publish(topics.SCORED_ACK, self._spool.acknowledgement(epoch).encode())
            except ConnectionLostError:
                raise
            except BusError as error:
                self._counters.add("acknowledgements_refused")
                self._log.warning("a sender was not told: %s", error)

    def _collect_notice(self, now: float) -> None:
        if self._config.notice_interval_s > 0 and now >= self._notice_due:
            self._notice_due = now + self._config.notice_interval_s
            self._health["Forwarder"] = self._counters.snapshot()
            self._batcher.add(Lane.BULK, Notice(self._runtime.clock.wall_ms(), dict(self._health)), now)

    def _put(self, filled: Filled) -> None:
        batch = codec.seal(self._runtime.gateway, self._spool.epoch, self._spool.next_sequence, filled.body)
        used = 0 if isinstance(filled.rows, Notice) else len(filled.rows)
        self._spool.put(filled.lane, batch, used, self._runtime.clock.wall_ms())
        self._counters.add("batches_formed")
        self._counters.add(f"rows_formed_{filled.lane}", len(filled.rows))

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
        wall_ms = self._runtime.clock.wall_ms()
        self._spool.set_aside(refused.lane, len(refused.rows), kept, str(refused.error), wall_ms)
