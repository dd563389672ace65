"""The aggregator's loop, against ports: take batches in, clean, window, hand closed windows on, keep them until held.

Readings are acknowledged, and aggregates sent, only after the checkpoint on disk has both: killing the aggregator at
any moment loses nothing and counts nothing twice. When the outbox is full, batches of readings are refused: they are
neither taken nor acknowledged, and the sensor reader, which keeps them, sends them again.
"""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.checkpoint import Checkpoint, Saved
from edge_components.aggregator.cleaning import Cleaner, Columns
from edge_components.aggregator.config import Config
from edge_components.aggregator.directory import UNPLACED, Directory
from edge_components.aggregator.idle_clock import IdleClock
from edge_components.aggregator.memory import Memory, Parts
from edge_components.aggregator.window_types import Closed
from edge_components.aggregator.windows import Windows
from edge_components.common import readings_message
from edge_components.common.delivery import BatchSender
from edge_components.common.errors import BusError
from edge_components.common.handover import Inbox, Outbox, Reorder, RetryPolicy, new_epoch
from edge_components.common.lifecycle import Runtime
from edge_components.common.packing import Packer, select
from wire import topics
from wire.errors import DecodeError
from wire.limits import MAX_BATCH_BYTES
from wire.model import Aggregates, Readings

ROW_BYTES = 72
MAX_ROWS = 240
"""The detector fills in a score of 8 bytes at most a row, and the batch must still pass (MAX_LOCAL_BYTES)."""

REORDER_SECONDS = 10.0
"""How long a batch waits for one before it: several of the sensor reader's retries."""

SERIES_BYTES = 40
"""About what a directory entry takes before any coding."""


class Aggregator:
    """See edge_components.common.lifecycle.Component for the methods' places in its life."""

    def __init__(self, config: Config, runtime: Runtime, checkpoint: Checkpoint, saved: Saved) -> None:
        self._config, self._runtime = config, runtime
        self._counters, self._clock = runtime.counters, runtime.clock
        self._limited_log = runtime.limited_log
        self._directory = Directory(config.ranges, config.max_series)
        self._cleaner = Cleaner(config.rules)
        self._windows = Windows(config.windows)
        self._idle = IdleClock(runtime.clock.monotonic(), config.silence_ms / 1000)
        self._inbox = Inbox()
        self._reorder: Reorder[Readings] = Reorder(REORDER_SECONDS)
        self._outbox = Outbox(
            new_epoch(runtime.clock.wall_ms(), runtime.rng),
            RetryPolicy(first_s=float(config.retry_s)),
            runtime.rng,
            config.outbox_bytes,
        )
        self._sender = BatchSender(
            self._outbox,
            runtime.bus,
            topics.AGGREGATES,
            topics.SCORED_ACK,
            runtime.counters,
            runtime.limited_log,
            runtime.rng,
        )
        self._packer = Packer(runtime.gateway, self._outbox, MAX_BATCH_BYTES, self._limited_log, MAX_ROWS)
        self._pending: list[Aggregates] = []
        self._oldest: float | None = None
        self._memory = Memory(checkpoint, runtime.clock, config.checkpoint_ms / 1000, runtime.log)
        self._restore(saved)

    def start(self) -> None:
        """Subscribe."""
        self._sender.start()
        self._runtime.bus.subscribe(topics.READINGS, self.on_readings, expects_traffic=True)

    def on_readings(self, _topic: str, payload: bytes) -> None:
        """Take a batch in, once."""
        now = self._clock.monotonic()
        self._idle.hear(now)
        if not payload:  # a flush request: the next checkpoint acknowledges what was received
            return
        if self._refusing:
            self._limited_log.warning("batches_refused", "the outbox is full: is the forwarder running?")
            return
        try:
            batch = readings_message.decode(payload)
        except DecodeError as error:
            self._limited_log.warning("batches_unreadable", f"{type(error).__name__}: {error}")
            return
        if batch.gateway != self._runtime.gateway:
            text = f"a batch of gateway {batch.gateway}, this is {self._runtime.gateway}"
            self._limited_log.warning("batches_foreign", text)
            return
        if not isinstance(batch.rows, Readings):
            self._inbox.accept(batch.epoch, batch.sequence)  # so that its sender does not repeat it for ever
            self._limited_log.warning("batches_unexpected", f"a batch of {type(batch.rows).__name__}")
            return
        if (batch.epoch, batch.sequence) in self._inbox:
            self._inbox.accept(batch.epoch, batch.sequence)  # so that it is acknowledged again
            self._counters.add("batches_repeated")
            return
        if not self._reorder.add(batch.epoch, batch.sequence, batch.rows, now):
            self._limited_log.warning("batches_refused", f"batches before {batch.sequence} are missing")
        self._take_ready(now)

    def tick(self) -> float:
        """Close what is complete, flush by size or age, send what is due, acknowledge what was taken in."""
        now = self._clock.monotonic()
        self._take_ready(now)
        self._collect(self._windows.close(self._idle.tick(now, self._refusing)))
        if self._oldest is not None:
            self._flush(everything=now - self._oldest >= self._config.max_age_ms / 1000)
        self._tell(now)
        return min(self._sender.next_s(now), self._memory.next_s(now), self._flush_s(now))

    def reconfigure(self, config: Config) -> None:
        """Go on under another configuration; when the width changes, the open windows end here and are handed on."""
        self._config = config
        self._directory.describe(config.ranges, config.max_series)
        self._cleaner.rules = config.rules
        self._idle.silence_s = config.silence_ms / 1000
        self._collect(self._windows.reconfigure(config.windows))
        self._memory.interval_s = config.checkpoint_ms / 1000
        self._outbox.set_limits(RetryPolicy(first_s=float(config.retry_s)), config.outbox_bytes)

    def close(self) -> None:
        """Hand on what is complete; open windows stay in the checkpoint and go on at the next start."""
        self._flush(everything=True)
        self._tell(self._clock.monotonic())
        self._memory.close()
        if len(self._outbox):
            self._runtime.log.info("batches that the forwarder does not hold yet, kept on disk: %d", len(self._outbox))

    def _restore(self, saved: Saved) -> None:
        """Go on from the checkpoint, or its copy; where both are damaged, what is lost with them is counted."""
        if saved.damaged:
            self._limited_log.warning("checkpoint_damaged", "it is kept as .damaged, and its copy is used")
        if saved.lost:
            held = "an unknown number of" if saved.held_readings is None else str(saved.held_readings)
            self._limited_log.warning("checkpoint_lost", f"its copy is damaged too: {held} readings are lost with them")
            self._counters.add("readings_lost", saved.held_readings or 0)
        closed = self._memory.restore(saved, self._parts(), self._config.windows, self._idle.seconds)
        if closed is not None:
            self._collect(closed)
        if self._pending and self._oldest is None:
            self._oldest = self._clock.monotonic()

    def _parts(self) -> Parts:
        return Parts(self._directory, self._cleaner, self._windows, self._inbox, self._outbox, self._pending)

    def _tell(self, now: float) -> None:
        """Save, and only then send aggregates and acknowledge readings."""
        if self._memory.save(self._parts(), self._config.windows, now):
            self._sender.send_due(now)
            self._acknowledge()
        elif self._memory.failures:
            self._counters.add("checkpoint_failed")

    @property
    def _refusing(self) -> bool:
        return self._outbox.room < MAX_BATCH_BYTES

    def _take_ready(self, now: float) -> None:
        """Take in, in the order of their numbers, the batches that wait for none before them."""
        for epoch, sequence, readings in self._reorder.ready(self._inbox.highest, now):
            self._inbox.accept(epoch, sequence)
            self._take_in(readings)

    def _take_in(self, readings: Readings) -> None:
        places = self._directory.places(readings.series)[readings.series_index]
        columns = Columns(places, readings.time_ms, readings.value, readings.quality)
        self._counters.add("readings", len(columns))
        unplaced = places == UNPLACED
        if unplaced.any():
            text = f"more than {self._config.max_series} series"
            self._limited_log.warning("invalid_series_limit", text, int(np.count_nonzero(unplaced)))
            columns = columns.keep(~unplaced)
        now_ms = self._clock.wall_ms()
        columns, dropped = self._cleaner.clean(columns, self._directory.low, self._directory.high, now_ms)
        names = ", ".join(series.name for series in readings.series[:5])
        for reason, count in dropped.items():
            self._limited_log.warning(f"invalid_{reason}", f"{count} readings in a batch of {names}...", count)
        late = self._windows.add(columns.place, columns.time_ms, columns.value, now_ms, self._idle.seconds)
        if late:
            self._limited_log.warning("late", f"{late} readings in a batch of {names}...", late)

    def _collect(self, closed: Closed) -> None:
        if not len(closed):
            return
        used, index = np.unique(closed.place, return_inverse=True)
        width, unscored = np.full(len(closed), closed.width_ms), np.full(len(closed), np.nan)
        rows = Aggregates(
            self._directory.series(used),
            index.astype(np.int64),
            closed.start_ms,
            width,
            closed.count,
            closed.mean,
            closed.min,
            closed.max,
            closed.std,
            unscored,
        )
        gaps = int(np.count_nonzero(closed.count == 0))
        self._counters.add("windows", len(closed) - gaps)
        self._counters.add("gaps", gaps)
        self._counters.add("readings_aggregated", int(closed.count.sum()))
        self._pending.append(rows)
        if self._oldest is None:
            self._oldest = self._clock.monotonic()

    def _flush(self, everything: bool) -> None:
        """Cut what is pending into batches: all of it, or only what fills one. What the outbox cannot take waits."""
        if not self._pending:
            return
        rows = Aggregates.concatenate(self._pending) if len(self._pending) > 1 else self._pending[0]
        while len(rows) and not self._refusing:
            if not everything and not self._packer.full(len(rows), ROW_BYTES, SERIES_BYTES * len(rows.series)):
                break
            taken = self._packer.put(rows)
            self._counters.add("batches")
            rows = select(rows, slice(taken, None))
            self._pending = [rows] if len(rows) else []  # at once: a row is in a batch or here, whatever fails next
        if not self._pending:
            self._oldest = None

    def _flush_s(self, now: float) -> float:
        """Return the seconds until pending rows are to be flushed by their age."""
        if self._oldest is None or self._refusing:
            return float("inf")
        return max(0.0, self._oldest + self._config.max_age_ms / 1000 - now)

    def _acknowledge(self) -> None:
        for ack in self._inbox.acknowledgements():
            try:
                self._runtime.bus.publish(topics.READINGS_ACK, ack.encode())
            except BusError as error:
                self._limited_log.warning("publish_failed", f"acknowledgement: {error}", key=topics.READINGS_ACK)
