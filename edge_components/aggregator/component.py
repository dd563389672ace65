"""The aggregator's loop, against ports: accept batches, clean, window, send aggregates until they are acknowledged.

Readings are acknowledged, and aggregates sent, only after the journal on the disk has both: killing the aggregator at
any moment loses nothing and counts nothing twice. If the outbox is full, batches of readings are rejected: they are
neither accepted nor acknowledged, and the sensor reader, which keeps them, sends them again.
"""

from __future__ import annotations

import numpy as np

from edge_components.aggregator import old_checkpoint
from edge_components.aggregator.cleaning import Cleaner, Columns
from edge_components.aggregator.config import Config
from edge_components.aggregator.idle_clock import IdleClock
from edge_components.aggregator.operations import Batch, OperationLog
from edge_components.aggregator.replay import Replay, Replayed
from edge_components.aggregator.series_table import SeriesTable
from edge_components.aggregator.snapshot import Sent
from edge_components.aggregator.state import Revised, State
from edge_components.aggregator.state_store import StateStore
from edge_components.aggregator.units import UnitConverter
from edge_components.aggregator.window_types import Closed
from edge_components.common import readings_message
from edge_components.common.delivery import FLUSH_REQUEST, RESEND_REQUEST, BatchSender, try_publish
from edge_components.common.handover import Outbox, Reorder, RetryPolicy, new_epoch
from edge_components.common.journal import CommitPolicy, Journal, Recovered
from edge_components.common.lifecycle import Runtime
from edge_components.common.packing import Packer
from edge_components.common.receiving import BatchReceiver
from edge_components.common.series_registry import UNKNOWN
from wire import topics
from wire.limits import MAX_BATCH_BYTES
from wire.model import MAX_NAME, Readings

ROW_BYTES = 72
MAX_ROWS = 240
"""The detector adds a score of at most 8 bytes a row, and the batch must still fit a local message."""

REORDER_SECONDS = 60.0
"""Time for which a batch waits for a missing one: the maximum time until the sensor reader retransmits that."""

LATE_IN_FLIGHT = 8
"""Maximum number of batches of late readings in the outbox, so that they do not delay live rows."""

MAX_LATE_ROWS = 65_536
"""Rows of late readings that may wait for the forwarder, 6 MB; beyond it batches are rejected."""

SERIES_BYTES = 40
"""Approximate size of a directory entry before any coding."""

MAX_UNCOMMITTED_BYTES = 8_000_000
"""Maximum bytes of received payloads while the disk rejects writes; beyond it batches are rejected."""

RESEND_SECONDS = 5.0
"""Minimum time between two requests for a missing batch."""

_NO_READINGS = Readings((), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))
"""Rows of a batch of an unexpected kind."""

_IDLE_SECONDS = 1.0
"""Time between two calls of tick while windows may close by the idle clock."""


class Aggregator:
    """See edge_components.common.lifecycle.Component for the methods' places in its life."""

    def __init__(self, config: Config, runtime: Runtime, journal: Journal, recovered: Recovered) -> None:
        self._config, self._runtime = config, runtime
        self._counters, self._clock, self._limited_log = runtime.counters, runtime.clock, runtime.limited_log
        self._state = State(
            SeriesTable(config.ranges, config.max_series, config.checks), config.windows, OperationLog()
        )
        self._cleaner = Cleaner(config.rules, config.deadbands)
        self._units = UnitConverter(config.units)
        self._idle = IdleClock(runtime.clock.monotonic(), config.silence_ms / 1000)
        self._reorder: Reorder[tuple[Readings, int]] = Reorder(REORDER_SECONDS)
        self._outbox = Outbox(
            new_epoch(runtime.clock.wall_ms(), runtime.rng),
            RetryPolicy(first_s=float(config.retry_s)),
            runtime.rng,
            config.outbox_bytes,
        )
        self._packer = Packer(runtime.gateway, self._outbox, MAX_BATCH_BYTES, self._limited_log, MAX_ROWS)
        self._sender = BatchSender(
            self._outbox,
            runtime.bus,
            topics.AGGREGATES,
            topics.SCORED_ACK,
            runtime.counters,
            runtime.limited_log,
            runtime.rng,
        )
        self._receiver = BatchReceiver(topics.READINGS, runtime.gateway, (Readings,), runtime.limited_log)
        self._oldest: dict[bool, float] = {}
        """Times since which live rows (False) and rows of late readings (True) wait for their batch to fill."""
        self._blocked = False
        self._resend_requested = -RESEND_SECONDS
        self._store = self._recover(journal, recovered)
        self._store.policy = CommitPolicy(config.commit_ms / 1000)

    def start(self) -> None:
        """Subscribe; batches that were sent while there was no subscription are requested when one opens."""
        self._sender.start()
        self._runtime.bus.subscribe(
            topics.READINGS, self.on_readings, expects_traffic=True, on_open=self._request_resend
        )

    def on_readings(self, _topic: str, payload: bytes) -> None:
        """Accept a batch once; an urgent one or an empty payload requests an immediate commit and acknowledgement."""
        now = self._clock.monotonic()
        self._idle.batch_received(now)
        if payload == FLUSH_REQUEST:
            self._blocked = True
            self._state.inbox.repeat()
            return
        if readings_message.is_urgent(payload):
            self._blocked = True
        if self._refusing:
            self._limited_log.warning("batches_deferred", "the outbox is full: is the forwarder running?")
            return
        received = self._receiver.receive(payload)
        if received is None:
            return
        batch, rows = received
        if (batch.epoch, batch.sequence) in self._state.inbox:
            self._state.inbox.accept(batch.epoch, batch.sequence)  # so that it is acknowledged again
            self._blocked = True
            self._counters.add("batches_repeated")
            return
        readings = _NO_READINGS if rows is None else rows
        if not self._reorder.add(batch.epoch, batch.sequence, (readings, len(payload)), now):
            self._limited_log.warning("batches_deferred", f"batches before {batch.sequence} are missing")
        self._accept_ready(now)

    def tick(self) -> float:
        """Close what is complete, cut batches by size or age, commit, send and acknowledge.

        Return the seconds until the next call at the latest.
        """
        now = self._clock.monotonic()
        self._free_acknowledged()
        self._accept_ready(now)
        missing = len(self._reorder) > 0
        if missing and now - self._resend_requested >= RESEND_SECONDS:
            self._request_resend()
        self._closed(*self._state.close(self._idle.tick(now, self._refusing or missing)))
        self._flush_old(now)
        if self._store.commit_if_due(now, blocked=self._blocked):
            self._blocked = False
        elif self._store.failures:
            self._counters.add("journal_failed")
        self._deliver(now)
        return self._wait_s(now)

    def reconfigure(self, config: Config) -> None:
        """Apply another configuration; when the width changes, the open windows end here and are sent."""
        self._config = config
        self._state.registry.configure(config.ranges, config.max_series, config.checks)
        self._cleaner.rules = config.rules
        self._cleaner.deadbands.configure(config.deadbands)
        units = UnitConverter(config.units)
        registry = self._state.registry
        ids = [registry.find(name) for name in self._units.rescaled(units, registry.all())]
        if ids := [series_id for series_id in ids if series_id != UNKNOWN]:
            self._closed(*self._state.end(ids))
        self._units = units
        self._idle.silence_s = config.silence_ms / 1000
        self._closed(*self._state.configure(config.windows))
        self._store.policy = CommitPolicy(config.commit_ms / 1000)
        self._outbox.set_limits(RetryPolicy(first_s=float(config.retry_s)), config.outbox_bytes)

    def close(self) -> None:
        """Send what is complete; open windows stay in the journal and continue at the next start."""
        now = self._clock.monotonic()
        self._free_acknowledged()
        self._flush(everything=True)
        self._flush(everything=True, late=True)
        if self._store.commit(now):
            self._deliver(now)
            self._store.fold()
        self._store.close()
        if len(self._outbox):
            self._runtime.log.info("batches that the forwarder does not hold yet, kept on disk: %d", len(self._outbox))

    def _recover(self, journal: Journal, recovered: Recovered) -> StateStore:
        """Continue from the journal, or from the checkpoint of an earlier version."""
        work = self._runtime.work
        fresh = recovered.snapshot is None and not recovered.records
        replayed, folded = Replayed(), None
        if fresh and old_checkpoint.exists(work):
            imported = old_checkpoint.import_state(work, self._state)
            replayed = Replayed(imported.sent, imported.lost_readings, imported.lost)
            folded = self._remove_checkpoint
        elif not fresh:
            replayed = Replay(self._state).run(recovered)
            folded = _nothing if replayed.lost else None
        if not fresh and old_checkpoint.exists(work):
            old_checkpoint.remove(work)
        self._report(recovered, replayed)
        if replayed.sent.epoch:
            self._outbox.restore(replayed.sent.epoch, replayed.sent.last_sequence, replayed.sent.payloads)
        self._state.windows.take_unreported()  # the former process counted them
        self._state.statistic_series.unnamed.clear()
        self._closed(*self._state.configure(self._config.windows))
        for series_id, series in enumerate(self._state.registry.all()):
            self._cleaner.assign(series_id, series.name)
        if replayed.lost:
            self._state.windows.cover_emitted(self._clock.wall_ms())
        self._state.registry.configure(self._config.ranges, self._config.max_series, self._config.checks)
        if fresh and folded is None:
            self._state.begin()
        else:
            self._state.start()
        self._note_pending()
        return StateStore(
            journal,
            self._state,
            self._sent,
            self._runtime.log,
            replayed_readings=replayed.readings,
            folded=folded,
        )

    def _report(self, recovered: Recovered, replayed: Replayed) -> None:
        if recovered.repaired:
            text = f"{recovered.repaired} records were restored from their replica"
            self._limited_log.warning("journal_damaged", text, recovered.repaired)
        if replayed.lost:
            number = "an unknown number of" if replayed.lost_readings is None else f"at most {replayed.lost_readings}"
            self._limited_log.error("journal_lost", f"records and their replicas are damaged: {number} readings lost")
            self._counters.add("dropped_readings", replayed.lost_readings or 0)
        if replayed.differences:
            text = "batches that an earlier version formed differently are kept unchanged"
            self._limited_log.warning("replay_differences", text, replayed.differences)

    def _remove_checkpoint(self) -> None:
        old_checkpoint.remove(self._runtime.work)
        self._runtime.log.info("the checkpoint of an earlier version is imported into the journal")

    def _sent(self) -> Sent:
        last = self._outbox.next_sequence - 1
        return Sent(self._outbox.epoch if last else 0, last, self._outbox.held())

    @property
    def _refusing(self) -> bool:
        return self._refusing_batches or len(self._state.pending_late) > MAX_LATE_ROWS

    @property
    def _refusing_batches(self) -> bool:
        return self._outbox.room < MAX_BATCH_BYTES or self._store.waiting_bytes > MAX_UNCOMMITTED_BYTES

    def _accept_ready(self, now: float) -> None:
        """Accept, in the order of their numbers, the batches that wait for none before them."""
        for epoch, sequence, (readings, size) in self._reorder.ready(self._state.inbox.highest, now):
            self._store.received(size, now)
            self._accept(epoch, sequence, readings)

    def _accept(self, epoch: int, sequence: int, readings: Readings) -> None:
        readings = self._converted(readings)
        ids, assigned = self._state.registry.resolve(readings.series, lambda: self._state.windows.busy)
        for assignment in assigned:
            ended = self._state.assign(assignment)
            if len(ended[0]) or len(ended[1].rows):
                series = assignment.series
                text = f"{series.name} has the unit {series.unit} now: windows with its former unit are closed"
                self._limited_log.warning("unit_changed", text, key=series.name)
            self._closed(*ended)
            self._cleaner.assign(assignment.series_id, assignment.series.name)
        self._counters.add("series_replaced", sum(assignment.replaced is not None for assignment in assigned))
        self._counters.add("readings", len(readings))
        columns = Columns(ids[readings.series_index], readings.time_ms, readings.value, readings.quality)
        if (ids == UNKNOWN).any():
            columns = self._drop_unknown(columns)
        now_ms = self._clock.wall_ms()
        registry, rules = self._state.registry, self._cleaner.rules
        cleaned = self._cleaner.clean(columns, registry.low, registry.high, now_ms, registry.limits)
        batch = Batch(epoch, sequence, now_ms, self._idle.milliseconds, rules.drop_duplicates)
        accepted = self._state.accept(batch, cleaned.columns)
        self._counters.add("readings_stuck", cleaned.stuck)
        self._counters.add("readings_backlog", accepted.backlog)
        counts = {**cleaned.dropped, "rejected_duplicate": accepted.repeated, "rejected_late": accepted.late}
        for reason, count in counts.items():
            if count:
                names = ", ".join(series.name for series in readings.series[:5])
                self._limited_log.warning(reason, f"{count} readings in a batch of {names}...", count)

    def _converted(self, readings: Readings) -> Readings:
        """Return the readings in the configured units, as far as these are known."""
        readings = self._units.convert(readings)
        for series, count in self._units.inconvertible.items():
            text = f"{series.name}: no conversion from {series.unit or 'no unit'} to the configured unit is known"
            self._limited_log.warning("unit_not_converted", text, count, key=series.name)
        return readings

    def _drop_unknown(self, columns: Columns) -> Columns:
        unknown = columns.series_id == UNKNOWN
        text = f"more than {self._config.max_series} series, each with an open window"
        self._limited_log.warning("rejected_series_limit", text, int(np.count_nonzero(unknown)))
        return columns.keep(~unknown)

    def _closed(self, closed: Closed, revised: Revised) -> None:
        if len(closed):
            gaps = int(np.count_nonzero((closed.count == 0) & (closed.bad == 0)))
            self._counters.add("windows", len(closed) - gaps)
            self._counters.add("gaps", gaps)
            self._counters.add("readings_aggregated", int(closed.count.sum()))
        if len(revised.rows):
            self._counters.add("revisions", len(revised.rows))
            self._counters.add("readings_aggregated", revised.readings)
        unreported_windows, unreported_readings = self._state.windows.take_unreported()
        if unreported_windows:
            self._counters.add("windows_unreported", unreported_windows)
            self._counters.add("readings_unreported", unreported_readings)
        for name, count in self._state.statistic_series.unnamed.items():
            text = f"{name}: the name of a statistic is longer than {MAX_NAME} characters, or a sensor has it"
            self._limited_log.warning("statistics_unnamed", text, count, key=name)
        self._state.statistic_series.unnamed.clear()
        self._note_pending()

    def _note_pending(self) -> None:
        """Record the time since which rows wait for their batch to fill."""
        for late in (False, True):
            if not self._state.queue(late=late):
                self._oldest.pop(late, None)
            elif late not in self._oldest:
                self._oldest[late] = self._clock.monotonic()

    def _flush_old(self, now: float) -> None:
        """Cut the live rows into batches, then those of late readings."""
        for late in (False, True):
            if late in self._oldest:
                self._flush(everything=now - self._oldest[late] >= self._config.max_age_ms / 1000, late=late)

    def _flush(self, everything: bool, late: bool = False) -> None:
        """Cut pending aggregates into batches: all of them, or only what fills one. The rest waits for the outbox.

        A live batch waits behind few batches of late readings: LATE_IN_FLIGHT of them at most are in the outbox.
        """
        queue = self._state.queue(late=late)
        while (rows := queue.merged()) is not None and not self._refusing_batches:
            if late and len(self._outbox) >= LATE_IN_FLIGHT:
                break
            head = rows.take(slice(0, MAX_ROWS)).compact()
            if not everything and not self._packer.full(len(head), ROW_BYTES, SERIES_BYTES * len(head.series)):
                break
            sequence = self._outbox.next_sequence
            taken = self._packer.put(head)
            if self._outbox.next_sequence == sequence:
                self._state.skip(taken, late=late)
                continue
            self._state.emit(sequence, taken, self._outbox.held()[sequence], late=late)
            self._counters.add("batches")
        self._note_pending()

    def _deliver(self, now: float) -> None:
        """Send and acknowledge everything that is in the journal."""
        if self._store.sendable:
            self._sender.send_due(now)
        if self._store.durable:
            self._acknowledge()

    def _free_acknowledged(self) -> None:
        """Record what the forwarder has acknowledged since the last call."""
        held = self._outbox.held()
        if len(self._state.sent_readings) > len(held):
            self._state.free([sequence for sequence in self._state.sent_readings if sequence not in held])

    def _request_resend(self) -> None:
        """Request the sensor reader's unacknowledged batches: some may be lost, and their windows must not close."""
        self._resend_requested = self._clock.monotonic()
        try_publish(self._runtime.bus, topics.READINGS_ACK, RESEND_REQUEST, "resend request", self._limited_log)

    def _acknowledge(self) -> None:
        for ack in self._state.inbox.acknowledgements():
            try_publish(self._runtime.bus, topics.READINGS_ACK, ack.encode(), "acknowledgement", self._limited_log)

    def _wait_s(self, now: float) -> float:
        waits = [_IDLE_SECONDS]
        if False in self._oldest:
            waits.append(self._oldest[False] + self._config.max_age_ms / 1000 - now)
        if True in self._oldest and len(self._outbox) < LATE_IN_FLIGHT:
            waits.append(self._oldest[True] + self._config.max_age_ms / 1000 - now)
        if (wait := self._store.wait_s(now)) is not None:
            waits.append(wait)
        if self._store.sendable:
            waits.append(self._sender.next_s(now))
        return max(0.0, min(waits))


def _nothing() -> None:
    """Do nothing after the first snapshot."""
