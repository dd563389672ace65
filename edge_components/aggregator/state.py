"""Persistent state of the aggregator, and the operations that change it. Pure.

Each operation is appended to the operation log, and :mod:`edge_components.aggregator.replay` applies the same
operations again at the next start. So a method here must depend on the state and its arguments only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_components.aggregator import operations, units
from edge_components.aggregator.cleaning import Columns
from edge_components.aggregator.deduplicator import Deduplicator
from edge_components.aggregator.grade import GRADES, Grade
from edge_components.aggregator.operations import Batch, Kind, OperationLog
from edge_components.aggregator.pending_rows import Key, PendingRows, readings_in
from edge_components.aggregator.series_table import SeriesTable
from edge_components.aggregator.statistic_series import StatisticSeries
from edge_components.aggregator.window_rows import NO_ROWS
from edge_components.aggregator.window_types import Closed, WindowSettings
from edge_components.aggregator.windows import Windows
from edge_components.common.handover import Inbox
from edge_components.common.series_registry import Assignment
from wire.model import Aggregates, IntArray, Series

_CLEAN_UP_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Revised:
    """Late windows that were closed; ``readings`` is the number of readings that are in no earlier row of them."""

    rows: Closed
    readings: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """Outcome of a batch: numbers of repeated readings, of late ones that were dropped, and of those accepted."""

    repeated: int
    late: int
    backlog: int


class State:
    """Series, windows, duplicates, accepted batches, and the aggregates that are in no batch yet."""

    def __init__(self, registry: SeriesTable, settings: WindowSettings, log: OperationLog) -> None:
        self.registry, self.settings, self.log = registry, settings, log
        self.windows = Windows(settings)
        self.deduplicator = Deduplicator()
        self.inbox = Inbox()
        self.pending = PendingRows()
        self.pending_late = PendingRows()
        """Rows of late readings, which are sent in batches of their own."""
        self.sent_readings: dict[int, int] = {}
        """Number of readings in each emitted batch that the forwarder has not stored, by sequence number."""
        self.idle_ms = 0
        self.statistic_series = StatisticSeries(registry)
        self._described: dict[int, Series] = {}
        self._added = False
        self._rows_since_clean_up = 0

    @property
    def held_readings(self) -> int:
        """Number of readings that are only in this state."""
        pending = self.pending.readings + self.pending_late.readings
        return self.windows.readings + pending + sum(self.sent_readings.values())

    def assign(self, assignment: Assignment) -> tuple[Closed, Revised]:
        """Record a series under its id; state of a series that had the id before is cleared.

        If its unit changes to another one of the same dimension, the values in its windows are converted; if it changes
        to any other one, its windows are closed and returned. A unit that becomes known changes no values.
        """
        series_id, series = assignment.series_id, assignment.series
        ended, late, added = NO_ROWS, NO_ROWS, 0
        if assignment.replaced is not None:
            self.windows.reset(series_id)
        else:
            former = self._described.get(series_id, series)
            linear = units.between(former.unit, series.unit)
            if linear is None and former.unit and series.unit:
                self.registry.assign(series_id, former)  # for the unit of the closed windows
                ended, late, added = self._close_series([series_id])
                self.registry.assign(series_id, series)
            elif linear not in (None, units.UNCHANGED):
                self.windows.rescale(series_id, linear.factor, linear.offset)
        self._described[series_id] = series
        self.windows.shapes.assign(series_id, series.name)
        self.windows.statistics.assign(series_id, series.name)
        self.log.add(Kind.SERIES, operations.series(series_id, series))
        return ended, Revised(late, added)

    def end(self, ids: Sequence[int]) -> tuple[Closed, Revised]:
        """Close the windows of some series, because their further values are on another scale."""
        ended, late, added = self._close_series(ids)
        self.log.add(Kind.ENDED, operations.sequences(ids))
        return ended, Revised(late, added)

    def accept(self, batch: Batch, columns: Columns) -> Accepted:
        """Add the usable readings of a batch, in the order of time."""
        self.inbox.accept(batch.epoch, batch.sequence)
        self.idle_ms = batch.idle_ms
        repeated = 0
        if batch.deduplicate and len(columns):
            seed = self.registry.seed[columns.series_id]
            unusable = columns.quality & GRADES == Grade.UNUSABLE
            if unusable.any():  # an unused reading must not make a usable one a duplicate
                seed = np.where(unusable, ~seed, seed)
            late_rows = columns.time_ms < self._closed_ms()[columns.series_id]
            mask = self.deduplicator.add(columns.series_id, seed, columns.time_ms, columns.value, late_rows)
            repeated = int(np.count_nonzero(mask & ~unusable))
            columns = columns.keep(~mask)
            self._rows_since_clean_up += len(columns)
        self.registry.received_now(columns.series_id)
        before, idle_s = self.windows.late_accepted, batch.idle_ms / 1000
        late = self.windows.add(
            columns.series_id,
            columns.time_ms,
            columns.value,
            batch.wall_ms,
            idle_s,
            self.deduplicator.tag,
            columns.quality,
        )
        self._added = True
        self.log.add_batch(batch, columns)
        return Accepted(repeated, late, self.windows.late_accepted - before)

    def close(self, idle_ms: int) -> tuple[Closed, Revised]:
        """Close the windows that are complete; their aggregates are pending then."""
        closed = self.windows.close(idle_ms / 1000, self.deduplicator.tag)
        revised = Revised(*self.windows.close_late(idle_ms / 1000))
        if len(closed) or len(revised.rows) or self._added:
            self.log.add(Kind.CLOSE, operations.number(idle_ms))
        self._added, self.idle_ms = False, idle_ms
        self._collect(closed, revised.rows)
        if self._rows_since_clean_up > max(_CLEAN_UP_ROWS, len(self.deduplicator) // 4):
            self._clean_up()
        return closed, revised

    def restore_settings(self, settings: WindowSettings) -> None:
        """Continue with the settings of a snapshot, after its series."""
        for series_id, series in enumerate(self.registry.all()):
            self.windows.shapes.assign(series_id, series.name)
            self.windows.statistics.assign(series_id, series.name)
            self._described[series_id] = series
        self.settings = settings
        self.windows.reconfigure(settings)

    def configure(self, settings: WindowSettings) -> tuple[Closed, Revised]:
        """Apply other settings; the open windows of series with another shape end and are returned."""
        closed, late, added = self.windows.reconfigure(settings)
        revised = Revised(late, added)
        if settings != self.settings:
            self.log.add(Kind.SETTINGS, operations.settings(settings))
            self._added = True  # the next call of close may close more
        self.settings = settings
        self._collect(closed, revised.rows)
        return closed, revised

    def begin(self) -> None:
        """Begin a new journal with the settings that its replay needs."""
        self.log.add(Kind.SETTINGS, operations.settings(self.settings))

    def start(self) -> None:
        """Reset times for a new process, whose idle clock begins at 0."""
        self.windows.rebase(0.0)
        self.idle_ms = 0
        self.log.add(Kind.STARTED, b"")

    def queue(self, *, late: bool) -> PendingRows:
        """Return the pending aggregates: the live ones, or those of late readings."""
        return self.pending_late if late else self.pending

    def emit(self, sequence: int, rows: int, payload: bytes, *, late: bool = False) -> None:
        """Record that the first ``rows`` of the pending aggregates are in the batch with this number."""
        queue = self.queue(late=late)
        pending = queue.merged()
        self.sent_readings[sequence] = readings_in(pending.take(slice(0, rows))) if pending is not None else 0
        queue.take(rows)
        self.log.add(Kind.EMITTED_LATE if late else Kind.EMITTED, operations.emitted(rows, payload))

    def free(self, sequences: Sequence[int]) -> None:
        """Record that the forwarder has stored these batches."""
        for sequence in sequences:
            self.sent_readings.pop(sequence, None)
        if sequences:
            self.log.add(Kind.FREED, operations.sequences(sequences))

    def skip(self, rows: int, *, late: bool = False) -> None:
        """Drop the first ``rows`` of the pending aggregates, which do not fit into a batch."""
        self.queue(late=late).take(rows)
        self.log.add(Kind.SKIPPED_LATE if late else Kind.SKIPPED, operations.number(rows))

    def remove(self, keys: set[Key]) -> None:
        """Remove windows by series, start, width and revision, whether pending or open; they were emitted."""
        self.pending.remove(keys)
        self.pending_late.remove(keys)
        ids = {series.name: number for number, series in enumerate(self.registry.all())}
        size = len(self.registry)
        widths = np.broadcast_to(self.windows.shapes.length(np.arange(size)), size).tolist()
        own = [key for key in keys if key[0] in ids and key[2] == widths[ids[key[0]]]]
        self.windows.remove([(ids[name], start) for name, start, _, revision in own if not revision])
        self.windows.remove_late([(ids[name], start) for name, start, _, revision in own if revision])

    def discard(self) -> int:
        """Drop open windows and pending aggregates; return the number of readings in them."""
        dropped = self.pending.readings + self.pending_late.readings + self.windows.discard()
        self.pending.clear()
        self.pending_late.clear()
        return dropped

    def clean_up(self) -> None:
        """Reduce the deduplicator's readings of closed windows to hashes, before a snapshot."""
        self._clean_up()
        self.log.add(Kind.CLEANED_UP, b"")

    def _clean_up(self) -> None:
        forgotten = self.deduplicator.forgotten
        self.deduplicator.close_before(self._closed_ms())
        if self.deduplicator.forgotten != forgotten:
            self.windows.forget(self.deduplicator.forgotten)
        self._rows_since_clean_up = 0

    def _close_series(self, ids: Sequence[int]) -> tuple[Closed, Closed, int]:
        which = np.zeros(len(self.registry), np.bool_)
        which[list(ids)] = True
        ended, late, added = self.windows.close_series(which)
        self._collect(ended, late)
        self._added = True  # the next call of close may find gaps
        return ended, late, added

    def _closed_ms(self) -> IntArray:
        """Return the event time before which readings are late, by id, also of series without a window so far."""
        closed = np.full(len(self.registry), np.iinfo(np.int64).min)
        known = self.windows.closed_ms
        closed[: len(known)] = known
        return closed

    def _collect(self, closed: Closed, late: Closed) -> None:
        """Queue closed windows, and then their statistics."""
        self._queue(closed, self.pending)
        self._queue(late, self.pending_late)
        for rows in self.windows.statistics.take_emitted():
            revised = rows.revision > 0
            self.pending.append(self.statistic_series.aggregates(rows, ~revised))
            self.pending_late.append(self.statistic_series.aggregates(rows, revised))

    def _queue(self, closed: Closed, pending: PendingRows) -> None:
        if not len(closed):
            return
        used, index = np.unique(closed.series_id, return_inverse=True)
        pending.append(
            Aggregates(
                self.registry.series(used),
                index.astype(np.int64),
                closed.start_ms,
                closed.width_ms,
                closed.count,
                closed.mean,
                closed.min,
                closed.max,
                closed.std,
                np.full(len(closed), np.nan),
                closed.revision,
                closed.uncertain,
                closed.bad,
            )
        )
