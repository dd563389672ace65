"""State of the aggregator that outlives the process, and the operations that change it. Pure.

Each operation is appended to the operation log, and :mod:`edge_components.aggregator.replay` applies the same
operations again at the next start. So a method here must depend on nothing but the state and its arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_components.aggregator import operations
from edge_components.aggregator.cleaning import Columns
from edge_components.aggregator.deduplicator import Deduplicator
from edge_components.aggregator.operations import Batch, Kind, OperationLog
from edge_components.aggregator.series_registry import Assignment, SeriesRegistry
from edge_components.aggregator.window_types import Closed, WindowSettings
from edge_components.aggregator.windows import Windows
from edge_components.common.handover import Inbox
from wire.model import Aggregates, IntArray

_CLEAN_UP_ROWS = 1_000


class State:
    """Series, windows, duplicates, accepted batches, and the aggregates that are in no batch yet."""

    def __init__(self, registry: SeriesRegistry, settings: WindowSettings, log: OperationLog) -> None:
        self.registry, self.settings, self.log = registry, settings, log
        self.windows = Windows(settings)
        self.deduplicator = Deduplicator()
        self.inbox = Inbox()
        self.pending: list[Aggregates] = []
        self.sent_readings: dict[int, int] = {}
        """Number of readings in each emitted batch that the forwarder does not hold, by sequence number."""
        self.idle_ms = 0
        self._added = False
        self._rows_since_clean_up = 0

    @property
    def held_readings(self) -> int:
        """Number of readings that are in this state and nowhere else."""
        return self.windows.readings + self.pending_readings + sum(self.sent_readings.values())

    @property
    def pending_readings(self) -> int:
        """Number of readings in the pending aggregates."""
        return sum(int(rows.count.sum()) for rows in self.pending)

    def assign(self, assignment: Assignment) -> None:
        """Record a series under its id; state of a series that had the id before is cleared."""
        if assignment.replaced:
            self.windows.reset(assignment.series_id)
        self.log.add(Kind.SERIES, operations.series(assignment.series_id, assignment.series))

    def accept(self, batch: Batch, columns: Columns) -> tuple[int, int]:
        """Add the usable readings of a batch, in the order of time; return the number of repeated and of late ones."""
        self.inbox.accept(batch.epoch, batch.sequence)
        self.idle_ms = batch.idle_ms
        repeated = 0
        if batch.deduplicate and len(columns):
            seed = self.registry.seed[columns.series_id]
            late_rows = columns.time_ms < self._closed_ms()[columns.series_id]
            mask = self.deduplicator.add(columns.series_id, seed, columns.time_ms, columns.value, late_rows)
            repeated = int(np.count_nonzero(mask))
            columns = columns.keep(~mask)
            self._rows_since_clean_up += len(columns)
        self.registry.touch(columns.series_id)
        late = self.windows.add(columns.series_id, columns.time_ms, columns.value, batch.wall_ms, batch.idle_ms / 1000)
        self._added = True
        self.log.add_batch(batch, columns)
        return repeated, late

    def close(self, idle_ms: int) -> Closed:
        """Close the windows that are complete; their aggregates are pending then."""
        closed = self.windows.close(idle_ms / 1000)
        if len(closed) or self._added:
            self.log.add(Kind.CLOSE, operations.number(idle_ms))
        self._added, self.idle_ms = False, idle_ms
        self._collect(closed)
        if self._rows_since_clean_up > max(_CLEAN_UP_ROWS, len(self.deduplicator) // 4):
            self.clean_up()
        return closed

    def configure(self, settings: WindowSettings) -> Closed:
        """Apply other settings; a change of width closes the open windows."""
        closed = self.windows.reconfigure(settings)
        if settings != self.settings:
            self.log.add(Kind.SETTINGS, operations.settings(settings))
        self.settings = settings
        self._collect(closed)
        return closed

    def begin(self) -> None:
        """Begin a new journal with the settings that its replay needs."""
        self.log.add(Kind.SETTINGS, operations.settings(self.settings))

    def start(self) -> None:
        """Begin a new process, whose idle clock begins at 0."""
        self.windows.rebase(0.0)
        self.idle_ms = 0
        self.log.add(Kind.STARTED, b"")

    def emit(self, sequence: int, rows: int, payload: bytes) -> None:
        """Record that the first ``rows`` of the pending aggregates are in the batch with this number."""
        pending = self.merged_pending()
        self.sent_readings[sequence] = int(pending.count[:rows].sum()) if pending is not None else 0
        self.take_pending(rows)
        self.log.add(Kind.EMITTED, operations.emitted(rows, payload))

    def free(self, sequences: Sequence[int]) -> None:
        """Record that the forwarder holds these batches."""
        for sequence in sequences:
            self.sent_readings.pop(sequence, None)
        if sequences:
            self.log.add(Kind.FREED, operations.sequences(sequences))

    def skip(self, rows: int) -> None:
        """Drop the first ``rows`` of the pending aggregates, which fit no batch."""
        self.take_pending(rows)
        self.log.add(Kind.SKIPPED, operations.number(rows))

    def merged_pending(self) -> Aggregates | None:
        """Return the pending aggregates in order, None without any."""
        if len(self.pending) > 1:
            self.pending[:] = [Aggregates.concatenate(self.pending)]
        return self.pending[0] if self.pending else None

    def take_pending(self, rows: int) -> None:
        """Remove the first ``rows`` of the pending aggregates."""
        pending = self.merged_pending()
        rest = pending.take(slice(rows, None)) if pending is not None else None
        self.pending[:] = [rest] if rest is not None and len(rest) else []

    def remove(self, keys: set[tuple[str, int, int]]) -> None:
        """Remove windows by series, start and width, whether pending or open; they were emitted and stay closed."""
        pending = self.merged_pending()
        if pending is not None:
            names = [series.name for series in pending.series]
            columns = (pending.series_index.tolist(), pending.start_ms.tolist(), pending.width_ms.tolist())
            kept = [(names[index], start, width) not in keys for index, start, width in zip(*columns, strict=True)]
            rest = pending.take(np.flatnonzero(kept)).compact()
            self.pending[:] = [rest] if len(rest) else []
        ids = {series.name: number for number, series in enumerate(self.registry.all())}
        width_ms = self.settings.width_ms
        self.windows.remove([(ids[name], start) for name, start, width in keys if width == width_ms and name in ids])

    def discard(self) -> int:
        """Drop open windows and pending aggregates; return the number of readings in them."""
        dropped = self.pending_readings + self.windows.discard()
        self.pending.clear()
        return dropped

    def clean_up(self) -> None:
        """Have the deduplicator reduce what is closed."""
        self.deduplicator.close_before(self._closed_ms())
        self._rows_since_clean_up = 0

    def _closed_ms(self) -> IntArray:
        """Return the event time before which readings are late, by id, also of series without a window so far."""
        closed = np.full(len(self.registry), np.iinfo(np.int64).min)
        known = self.windows.closed_ms
        closed[: len(known)] = known
        return closed

    def _collect(self, closed: Closed) -> None:
        if not len(closed):
            return
        used, index = np.unique(closed.series_id, return_inverse=True)
        self.pending.append(
            Aggregates(
                self.registry.series(used),
                index.astype(np.int64),
                closed.start_ms,
                np.full(len(closed), closed.width_ms),
                closed.count,
                closed.mean,
                closed.min,
                closed.max,
                closed.std,
                np.full(len(closed), np.nan),
            )
        )
