"""Message with a batch of readings, from the sensor reader to the aggregator. Pure.

The wire format (:mod:`wire.codec`) saves bytes on the way to the cloud at the cost of processor time. Between two
processes of one gateway processor time is more expensive, so this format writes whole columns (see message_columns).
Values are exact.

Body, little-endian: u32 rows, u32 directory bytes, i64 first time, four u8 (item sizes of index and time, type code of
the value, 1 where a quality column follows), the directory, and the columns.
"""

from __future__ import annotations

import struct

import numpy as np

from edge_components.common import message_columns
from edge_components.common.message_columns import ColumnReader
from wire.errors import FormatError, LimitError, ModelError
from wire.limits import MAX_LOCAL_BYTES, MAX_ROWS
from wire.model import Batch, Quality, Readings

MAGIC = b"SLR1"
URGENT = b"SLRU"
"""Replaces MAGIC to request a commit and an acknowledgement at once, because a sender is blocked."""

_BODY = struct.Struct("<IIq4B")
_MAX_TIME = 2**62


def encode(batch: Batch, limit: int = MAX_LOCAL_BYTES) -> bytes:
    """Encode a batch of readings; raises TooLargeError above ``limit`` bytes and ModelError for other rows."""
    rows = batch.rows
    if not isinstance(rows, Readings):
        raise ModelError(f"a batch of {type(rows).__name__}: only readings are sent in this format")
    directory = message_columns.directory(rows.series)
    first = int(rows.time_ms.min()) if len(rows) else 0
    index_size, index = message_columns.integers(rows.series_index)
    time_size, time = message_columns.integers(rows.time_ms - first)
    code, values = message_columns.numbers(rows.value)
    quality = rows.quality.tobytes() if rows.quality.any() else b""
    head = _BODY.pack(len(rows), len(directory), first, index_size, time_size, code, bool(quality))
    body = b"".join((head, directory, index, time, values, quality))
    return message_columns.seal(MAGIC, batch.gateway, batch.epoch, batch.sequence, body, limit)


def decode(data: bytes) -> Batch:
    """Decode a batch from the sensor reader, also one of an earlier version in the wire format.

    Rows are returned in the order of time, then of the directory. Raises DecodeError for anything else.
    """
    return message_columns.decode(data, READERS)


def urgent(message: bytes) -> bytes:
    """Return an encoded batch with the request to commit and acknowledge it, and all before it, at once."""
    return URGENT + message[len(MAGIC) :]


def is_urgent(message: bytes) -> bool:
    """Return whether a message requests a commit at once."""
    return message.startswith(URGENT)


def _rows(body: bytes) -> Readings:
    if len(body) < _BODY.size:
        raise FormatError(f"body: {len(body)} bytes, shorter than its head")
    count, directory_size, first, index_size, time_size, code, has_quality = _BODY.unpack_from(body)
    if count > MAX_ROWS:
        raise LimitError(f"{count} rows, at most {MAX_ROWS}")
    if has_quality > 1:
        raise FormatError(f"body: quality {has_quality}")
    if abs(first) > _MAX_TIME:
        raise FormatError("body: a time beyond 62 bits")
    at = _BODY.size + directory_size
    series = message_columns.read_directory(body[_BODY.size : at])
    reader = ColumnReader(body, at, count)
    index, time = reader.integers(index_size), reader.integers(time_size) + first
    value = reader.numbers(code)
    quality = reader.octets() if has_quality else np.zeros(count, np.uint8)
    reader.finish()
    if count and not (np.isfinite(value).all() and int(quality.max()) <= Quality.BAD):
        raise FormatError("body: a value that is not finite, or an unknown quality")
    if count and int(index.max()) >= len(series):
        raise FormatError(f"series index: outside the directory of {len(series)}")
    order = np.lexsort((index, time))
    return Readings(series, index[order], time[order], value[order], quality[order])


READERS = {MAGIC: _rows, URGENT: _rows}
"""Reader of a body by the magic of its message."""
