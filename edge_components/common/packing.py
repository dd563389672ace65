"""Packing of rows into batches that fit a limit; usually each row is encoded once.

The encoded size is estimated from the ratio of encoded to plain bytes in the previous batch. If a batch is too large,
the number of rows is halved and the ratio increased.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from edge_components.common import batch_message
from edge_components.common.handover import Outbox
from edge_components.common.limited_log import RateLimitedLog
from wire.errors import TooLargeError
from wire.model import AGGREGATE_COLUMNS, OPTIONAL_COLUMNS, Aggregates, Batch, Readings

READING_COLUMNS = ("series_index", "time_ms", "value", "quality")
_ALWAYS_SENT = tuple(name for name in AGGREGATE_COLUMNS if name not in OPTIONAL_COLUMNS)
_FILL = 0.95
_SERIES_BYTES = 10
"""Plain bytes of a directory entry besides name and unit: two lengths and a resolution."""
R = TypeVar("R", Readings, Aggregates)


def select(rows: R, which: slice) -> R:
    """Return the selected rows with a directory of their series only."""
    names = READING_COLUMNS if isinstance(rows, Readings) else AGGREGATE_COLUMNS
    columns = [getattr(rows, name)[which] for name in names]
    used, index = np.unique(columns[0], return_inverse=True)
    series = tuple(rows.series[i] for i in used)
    return type(rows)(series, index.astype(np.int64), *columns[1:])


class Packer:
    """Encoder of rows into batches, which are added to an outbox."""

    def __init__(
        self, gateway: str, outbox: Outbox, limit: int, limited_log: RateLimitedLog, max_rows: int = 65_536
    ) -> None:
        self._gateway, self._outbox, self._limit, self._limited_log = gateway, outbox, limit, limited_log
        self._max_rows = max_rows
        self._ratio = 1.0

    def full(self, count: int, width: int, directory: int) -> bool:
        """Return whether ``count`` rows of ``width`` plain bytes and ``directory`` plain bytes would fill a batch."""
        return count >= self._max_rows or self._ratio * (count * width + directory) >= self._limit * _FILL

    def put(self, rows: R) -> int:
        """Encode the first rows that fit into a batch, add it to the outbox, and return their number.

        Raises HandoverError if the outbox is full; no rows are taken then.
        """
        count = min(len(rows), self._max_rows, self._expected_count(rows))
        while True:
            part = select(rows, slice(0, count))
            batch = Batch(self._gateway, self._outbox.epoch, self._outbox.next_sequence, part)
            try:
                payload = batch_message.encode(batch, self._limit)
            except TooLargeError as error:
                self._ratio *= 1.5
                if count == 1:
                    self._limited_log.warning("dropped_rows_too_large", str(error))
                    return 1
                count //= 2
                continue
            self._outbox.add(payload)
            self._ratio = len(payload) / plain_bytes(part)
            return count

    def _expected_count(self, rows: R) -> int:
        expected = self._ratio * plain_bytes(rows)
        room = self._limit * _FILL
        return len(rows) if expected <= self._limit else max(1, int(len(rows) * room / expected))


def plain_bytes(rows: Readings | Aggregates) -> int:
    """Return the size of the rows before any coding."""
    names = READING_COLUMNS if isinstance(rows, Readings) else _ALWAYS_SENT
    width = sum(int(getattr(rows, name).itemsize) for name in names)
    return len(rows) * width + sum(series_bytes(series.name, series.unit) for series in rows.series)


def series_bytes(name: str, unit: str) -> int:
    """Return the size of a directory entry before any coding."""
    return _SERIES_BYTES + len(name) + len(unit.encode())
