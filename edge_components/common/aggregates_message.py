"""Message with a batch of aggregates, between the components of one gateway. Pure.

The wire format (:mod:`wire.codec`) models each series, which saves bytes on the way to the cloud. For one window of
many series (one row each) that takes ten times the processor time of this format, which writes whole columns. Values
are exact (see message_columns).

Body, little-endian: u32 rows, u32 directory bytes, i64 first start, nine u8 (item sizes of index, start, width and
count; type codes of mean, min, max, std and score, 254 for no score at all), the directory, and the columns. Rows with
a revision or with readings of uncertain or bad quality are sent under REVISED, with twelve u8: three item sizes and
three columns (revision, uncertain, bad) follow the others.
"""

from __future__ import annotations

import struct
from functools import partial

import numpy as np

from edge_components.common import message_columns
from edge_components.common.message_columns import ColumnReader
from wire.errors import FormatError, LimitError, ModelError
from wire.limits import MAX_LOCAL_BYTES, MAX_ROWS
from wire.model import OPTIONAL_COLUMNS, Aggregates, Batch

MAGIC = b"SLA1"
REVISED = b"SLA2"
"""In place of MAGIC: the columns revision, uncertain and bad are present."""

_BODIES = {MAGIC: struct.Struct("<IIq9B"), REVISED: struct.Struct("<IIq12B")}
_UNSCORED = 254
_NO_SCORE = -1.0
"""Represents a score of NaN; scores are not negative."""


def encode(batch: Batch, limit: int = MAX_LOCAL_BYTES) -> bytes:
    """Encode a batch of aggregates; raises TooLargeError above ``limit`` bytes and ModelError for other rows."""
    rows = batch.rows
    if not isinstance(rows, Aggregates):
        raise ModelError(f"a batch of {type(rows).__name__}: only aggregates are sent in this format")
    directory = message_columns.directory(rows.series)
    first = int(rows.start_ms.min()) if len(rows) else 0
    columns = [
        message_columns.integers(column)
        for column in (rows.series_index, rows.start_ms - first, rows.width_ms, rows.count)
    ]
    columns += [message_columns.numbers(column) for column in (rows.mean, rows.min, rows.max, rows.std)]
    unscored = np.isnan(rows.score)
    if unscored.all():
        columns.append((_UNSCORED, b""))
    else:
        columns.append(message_columns.numbers(np.where(unscored, _NO_SCORE, rows.score)))
    magic = MAGIC
    if any(getattr(rows, name).any() for name in OPTIONAL_COLUMNS):
        magic = REVISED
        columns += [message_columns.integers(getattr(rows, name)) for name in OPTIONAL_COLUMNS]
    head = _BODIES[magic].pack(len(rows), len(directory), first, *(code for code, _ in columns))
    body = b"".join((head, directory, *(column for _, column in columns)))
    return message_columns.seal(magic, batch.gateway, batch.epoch, batch.sequence, body, limit)


def decode(data: bytes) -> Batch:
    """Decode a batch of aggregates, or one of any rows in the wire format.

    Rows are returned in the order of time, then of the directory. Raises DecodeError for anything else.
    """
    return message_columns.decode(data, READERS)


def _rows(body: bytes, layout: struct.Struct) -> Aggregates:
    if len(body) < layout.size:
        raise FormatError(f"body: {len(body)} bytes, shorter than its head")
    count, directory_size, first, *codes = layout.unpack_from(body)
    if count > MAX_ROWS:
        raise LimitError(f"{count} rows, at most {MAX_ROWS}")
    if not -(2**62) <= first <= 2**62:
        raise FormatError("body: a time beyond 62 bits")
    at = layout.size + directory_size
    series = message_columns.read_directory(body[layout.size : at])
    reader = ColumnReader(body, at, count)
    index, start, width, number = (reader.integers(size) for size in codes[:4])
    values = [reader.numbers(code) for code in codes[4:8]]
    score = np.full(count, np.nan) if codes[8] == _UNSCORED else reader.numbers(codes[8])
    optional = [reader.integers(size) for size in codes[9:]]
    reader.finish()
    if count and not 0 <= int(index.max()) < len(series):
        raise FormatError(f"series index: outside the directory of {len(series)}")
    score = np.where(score == _NO_SCORE, np.nan, score)
    if (score < 0).any():
        raise FormatError("score: below 0")
    start = start + first
    order = np.lexsort((index, start))
    columns = (column[order] for column in (index, start, width, number, *values, score, *optional))
    return Aggregates(series, *columns)


READERS = {magic: partial(_rows, layout=layout) for magic, layout in _BODIES.items()}
"""Reader of a body by the magic of its message."""
