"""Records: what the cloud keeps of one series' rows in one batch, and their columns as bytes.

The columns keep every value exactly as it was decoded. A record never crosses midnight UTC, so whoever wants the rows
from a moment on begins at that day's start and misses none.

Layout of ``columns``: one byte of version (1), u32 little-endian row count, then raw deflate of the eight columns of
``COLUMNS``, each as eight byte planes (all lowest bytes, then all second...) of 64-bit little-endian words: integers as
differences, floats as XOR with the one before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud_functions.core.errors import CloudError, Reason, RejectError
from cloud_functions.core.keys import MAX_TIME_MS
from wire.limits import MAX_ROWS
from wire.model import AGGREGATE_COLUMNS, Aggregates, Quality, Readings, Series

COLUMNS = AGGREGATE_COLUMNS[1:]
DAY_MS = 86_400_000
MAX_COLUMNS_BYTES = 350_000
"""Below DynamoDB's 400 KB an item, keys and the other attributes included."""

_INTEGERS = frozenset(("start_ms", "width_ms", "count"))
_VERSION = 1
_HEAD = struct.Struct("<BI")


@dataclass(frozen=True, slots=True)
class Record:
    """One series' rows of one batch and day, in order of time; ``first_ms`` and ``last_ms`` are window starts."""

    series: Series
    first_ms: int
    last_ms: int
    rows: int
    columns: bytes


def records_of(rows: Aggregates) -> Iterator[Record]:
    """Yield the records that keep ``rows``; the same rows give the same records.

    Raises RejectError: time for a window outside 1970 to 2286, size for a record above ``MAX_COLUMNS_BYTES``.
    """
    _check_times(rows)
    names: dict[str, int] = {}
    # A directory that names a series twice must not make two records under one key.
    place = np.array([names.setdefault(series.name, at) for at, series in enumerate(rows.series)], np.int64)
    of_series = place[rows.series_index] if len(rows) else rows.series_index
    order = np.lexsort((rows.start_ms, of_series))
    index, day = of_series[order], rows.start_ms[order] // DAY_MS
    cuts = np.flatnonzero((np.diff(index) != 0) | (np.diff(day) != 0)) + 1
    for part in np.split(order, cuts) if len(order) else ():
        group = rows.take(part)
        series = rows.series[int(place[group.series_index[0]])]
        columns = encode_columns(group)
        if len(columns) > MAX_COLUMNS_BYTES:
            raise RejectError(Reason.SIZE, f"series {series.name}: {len(columns)} bytes, at most {MAX_COLUMNS_BYTES}")
        yield Record(series, int(group.start_ms[0]), int(group.start_ms[-1]), len(group), columns)


def _check_times(rows: Aggregates) -> None:
    if len(rows) == 0:
        return
    # Compared one by one: the sum of two int64 may wrap around.
    wrong = (
        (rows.start_ms < 0) | (rows.width_ms < 0) | (rows.start_ms > MAX_TIME_MS - np.minimum(rows.width_ms, DAY_MS))
    )
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        name = rows.series[int(rows.series_index[at])].name
        raise RejectError(
            Reason.TIME, f"series {name}: window at {int(rows.start_ms[at])} ms is not in 0 to {MAX_TIME_MS} ms"
        )


def aggregates_of(readings: Readings) -> Aggregates:
    """Return readings as windows of one millisecond that hold one reading each; bad ones are left out."""
    kept = (readings.quality != Quality.BAD) & np.isfinite(readings.value)
    value, n = readings.value[kept], int(kept.sum())
    ones = np.ones(n, np.int64)
    return Aggregates(
        readings.series,
        readings.series_index[kept],
        readings.time_ms[kept],
        ones,
        ones,
        value,
        value,
        value,
        np.zeros(n),
        np.full(n, np.nan),
    )


def encode_columns(rows: Aggregates) -> bytes:
    """Return the columns but ``series_index`` as bytes."""
    planes = b"".join(_planes(name, getattr(rows, name)) for name in COLUMNS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return _HEAD.pack(_VERSION, len(rows)) + packer.compress(planes) + packer.flush()


def _planes(name: str, values: npt.NDArray[Any]) -> bytes:
    if name in _INTEGERS:
        # int64 differences wrap around and so does the sum that undoes them: exact for every value.
        words = np.diff(values.astype("<i8"), prepend=np.int64(0)).view("<u8")
    else:
        words = values.astype("<f8").view("<u8")
        words = words ^ np.concatenate((np.zeros(1, "<u8"), words[:-1]))
    return np.ascontiguousarray(words.view("u1").reshape(-1, 8).T).tobytes()


def decode_columns(columns: bytes, series: Series) -> Aggregates:
    """Return the rows of a record; raises CloudError for bytes that are no record's."""
    if len(columns) < _HEAD.size:
        raise CloudError(f"series {series.name}: a record of {len(columns)} bytes")
    version, n = _HEAD.unpack_from(columns)
    if version != _VERSION or n > MAX_ROWS:
        raise CloudError(f"series {series.name}: a record of version {version} with {n} rows")
    size = n * 8 * len(COLUMNS)
    unpacker = zlib.decompressobj(-15)
    try:
        planes = unpacker.decompress(columns[_HEAD.size :], size + 1)
    except zlib.error as error:
        raise CloudError(f"series {series.name}: {error}") from error
    if len(planes) != size or not unpacker.eof or unpacker.unused_data:
        raise CloudError(f"series {series.name}: a record of {n} rows with {len(planes)} bytes")
    parts = (planes[at * 8 * n : (at + 1) * 8 * n] for at in range(len(COLUMNS)))
    columns_ = [_column(name, part, n) for name, part in zip(COLUMNS, parts, strict=True)]
    return Aggregates((series,), np.zeros(n, np.int64), *columns_)


def _column(name: str, planes: bytes, n: int) -> npt.NDArray[Any]:
    words = np.ascontiguousarray(np.frombuffer(planes, "u1").reshape(8, n).T).view("<u8").reshape(-1)
    if name in _INTEGERS:
        return np.cumsum(words.view("<i8"), dtype=np.int64)
    return np.bitwise_xor.accumulate(words).view("<f8").astype(np.float64)


def join(parts: list[Aggregates]) -> Aggregates:
    """Return the rows of several records as one, with the directories of series put together."""
    directory: dict[Series, int] = {}
    for part in parts:
        for series in part.series:
            directory.setdefault(series, len(directory))
    index = [np.array([directory[s] for s in part.series], np.int64)[part.series_index] for part in parts]
    columns = [np.concatenate([getattr(part, name) for part in parts] or [np.empty(0)]) for name in COLUMNS]
    first = np.concatenate(index) if index else np.empty(0, np.int64)
    typed = [c.astype(np.int64 if n in _INTEGERS else np.float64) for n, c in zip(COLUMNS, columns, strict=True)]
    return Aggregates(tuple(directory), first.astype(np.int64), *typed)
