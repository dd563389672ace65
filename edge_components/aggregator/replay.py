"""Replay of the journal: restore the state of the last commit. Pure.

Replay repeats each operation on the snapshot. Emitted batches are not formed again: their bytes are in the
journal, and their windows are closed regardless of the rules of this version.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from edge_components.aggregator import operations, snapshot
from edge_components.aggregator.cleaning import Columns
from edge_components.aggregator.grade import Grade
from edge_components.aggregator.operations import Batch, Kind
from edge_components.aggregator.pending_rows import keys_in_order, readings_in
from edge_components.aggregator.readings_log import unpack
from edge_components.aggregator.snapshot import Sent
from edge_components.aggregator.state import State
from edge_components.common import aggregates_message
from edge_components.common.journal import Lost, Recovered
from wire.model import Aggregates

SKIPPED_SEQUENCES = 1 << 20
"""Number of sequence numbers skipped after a loss, because some of the lost ones may have been sent."""


@dataclass(slots=True)
class Replayed:
    """Outcome of a replay, besides the state."""

    sent: Sent = field(default_factory=Sent)
    lost_readings: int | None = 0
    """Maximum number of readings lost with damaged records, None if unknown."""
    lost: bool = False
    readings: int = 0
    """Number of readings in the records, which determines the duration of a replay."""
    differences: int = 0
    """Number of emitted batches whose windows this version would have formed differently."""


class Replay:
    """Applies records in order."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._batches: deque[Columns] = deque()
        self._payloads: dict[int, bytes] = {}
        self._epoch = self._last = 0
        self._result = Replayed()
        self._apply: dict[Kind, Callable[[bytes], object]] = {
            Kind.READINGS: lambda body: self._batches.extend(unpack(body)),
            Kind.BATCH: self._accept,
            Kind.CLOSE: self._close,
            Kind.SERIES: self._assign,
            Kind.SETTINGS: lambda body: state.configure(operations.read_settings(body)),
            Kind.EMITTED: partial(self._emit, late=False),
            Kind.EMITTED_LATE: partial(self._emit, late=True),
            Kind.FREED: self._free,
            Kind.ENDED: self._end,
            Kind.SKIPPED: partial(self._skip, late=False),
            Kind.SKIPPED_LATE: partial(self._skip, late=True),
            Kind.CLEANED_UP: lambda _body: state.clean_up(),
            Kind.STARTED: lambda _body: state.start(),
        }

    def run(self, recovered: Recovered) -> Replayed:
        """Apply what was recovered to an empty state; raises ValueError or KeyError for records of another kind."""
        if recovered.snapshot is not None:
            sent = snapshot.decode(recovered.snapshot, self._state)
            self._epoch, self._last, self._payloads = sent.epoch, sent.last_sequence, dict(sent.payloads)
        self._state.log.recording = False
        for record in recovered.records:
            if isinstance(record, Lost):
                self._lose(record)
            else:
                self._apply[Kind(record.kind)](record.body)
        self._state.log.recording = True
        if self._result.lost_readings is not None:
            self._result.lost_readings = max(0, self._result.lost_readings)
        if self._result.lost and self._epoch:
            self._last += SKIPPED_SEQUENCES
        self._result.sent = Sent(self._epoch, self._last, self._payloads)
        return self._result

    def _accept(self, body: bytes) -> None:
        batch = Batch.decode(body)
        columns = self._batches.popleft() if self._batches else None
        if self._result.lost or columns is None:
            self._state.inbox.accept(batch.epoch, batch.sequence)
            self._count_lost(0 if columns is None else len(columns))
            return
        if not batch.graded and (columns.quality == Grade.UNUSABLE).any():
            graded = np.where(columns.quality == Grade.UNUSABLE, Grade.BAD_USED, columns.quality).astype(np.uint8)
            columns = replace(columns, quality=graded)
        self._result.readings += len(columns)
        self._state.accept(batch, columns)

    def _assign(self, body: bytes) -> None:
        series_id, series = operations.read_series(body)
        if not self._result.lost:
            self._state.assign(self._state.registry.assign(series_id, series))

    def _end(self, body: bytes) -> None:
        if not self._result.lost:
            self._state.end(list(operations.read_sequences(body)))

    def _close(self, body: bytes) -> None:
        if not self._result.lost:
            self._state.close(operations.read_number(body))

    def _skip(self, body: bytes, *, late: bool) -> None:
        if not self._result.lost:
            self._state.queue(late=late).take(operations.read_number(body))

    def _free(self, body: bytes) -> None:
        for sequence in operations.read_sequences(body):
            self._payloads.pop(sequence, None)
            self._state.sent_readings.pop(sequence, None)

    def _emit(self, body: bytes, *, late: bool) -> None:
        rows, payload = operations.read_emitted(body)
        batch = aggregates_message.decode(payload)
        epoch, sequence, emitted = batch.epoch, batch.sequence, batch.rows
        if epoch != self._epoch:
            self._epoch, self._last, self._payloads = epoch, 0, {}
            self._state.sent_readings.clear()
        self._payloads[sequence] = payload
        self._last = max(self._last, sequence)
        if not isinstance(emitted, Aggregates):
            raise ValueError(f"batch {sequence} holds {type(emitted).__name__}")
        self._state.sent_readings[sequence] = readings_in(emitted)
        keys = set(keys_in_order(emitted))
        if self._result.lost:
            if not late:  # of a revision's readings some are in an earlier row
                self._count_lost(-readings_in(emitted))
            self._state.remove(keys)
            return
        queue = self._state.queue(late=late)
        pending = queue.merged()
        if pending is not None and set(keys_in_order(pending.take(slice(0, rows)))) == keys:
            queue.take(rows)
        else:
            self._result.differences += 1
            self._state.remove(keys)

    def _lose(self, lost: Lost) -> None:
        """Discard the state that the lost records may have changed.

        Open windows and pending aggregates may have been sent, and series may have other ids: from here on only the
        batches that were emitted are kept, and all other readings are counted as lost.
        """
        self._result.lost = True
        self._count_lost(None if lost.weight is None else lost.weight + self._state.discard())
        self._batches.clear()

    def _count_lost(self, readings: int | None) -> None:
        result = self._result
        if readings is None or result.lost_readings is None:
            result.lost_readings = None
        else:
            result.lost_readings += readings
