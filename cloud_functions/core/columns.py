"""One series' columns as bytes, from which every value comes back to the bit.

The first byte is the format:

2: a batch of :mod:`wire.codec` with this one series (see wire/FORMAT.md), which is an order of magnitude smaller. It
   keeps values at a stated precision only; but those that came over the wire have it already, so mostly it gives back
   the very same. Whether it does is tried each time.
1: where it does not: u32 little-endian row count, then raw deflate of the eight ``_FIRST`` columns, each as eight byte
   planes (all lowest bytes, then all second...) of 64-bit little-endian words: integers as differences, floats as XOR
   with the one before.
3: the same with all ``COLUMNS``, for rows with a revision or with readings of uncertain or bad quality.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud_functions.core.errors import CloudError
from wire import codec
from wire.errors import WireError
from wire.limits import MAX_INFLATED_BYTES, MAX_ROWS
from wire.model import AGGREGATE_COLUMNS, OPTIONAL_COLUMNS, Aggregates, Batch, Series

COLUMNS = AGGREGATE_COLUMNS[1:]
INTEGERS = frozenset(("start_ms", "width_ms", "count", *OPTIONAL_COLUMNS))

_EXACT, _WIRE, _REVISED = 1, 2, 3
_FIRST = tuple(name for name in COLUMNS if name not in OPTIONAL_COLUMNS)
_PLANES = {_EXACT: _FIRST, _REVISED: COLUMNS}
_HEAD = struct.Struct("<BI")


def encode_columns(rows: Aggregates, series: Series) -> bytes:
    """Return the columns of rows that are all of ``series`` as bytes."""
    own = Aggregates((series,), np.zeros(len(rows), np.int64), *(getattr(rows, name) for name in COLUMNS))
    return _as_wire(own) or _as_planes(own)


def decode_columns(columns: bytes, series: Series) -> Aggregates:
    """Return the rows that :func:`encode_columns` wrote; raises CloudError for bytes that it did not."""
    if columns[:1] and columns[0] in _PLANES and len(columns) >= _HEAD.size:
        return _from_planes(columns, series)
    if columns[:1] == bytes((_WIRE,)):
        try:
            rows = codec.decode(columns[1:]).rows
        except WireError as error:
            raise CloudError(f"series {series.name}: {error}") from error
        if isinstance(rows, Aggregates) and len(rows.series) == 1:
            return Aggregates((series,), *(getattr(rows, name) for name in AGGREGATE_COLUMNS))
    raise CloudError(f"series {series.name}: columns that begin with {columns[:5].hex() or 'nothing'}")


def _as_wire(rows: Aggregates) -> bytes | None:
    # The record's key names gateway, epoch and sequence; here the shortest ones do.
    try:
        data = codec.encode(Batch("_", 0, 1, rows), MAX_INFLATED_BYTES)
        back = codec.decode(data).rows
    except WireError:
        return None
    return bytes((_WIRE,)) + data if isinstance(back, Aggregates) and _same_bits(rows, back) else None


def _same_bits(one: Aggregates, other: Aggregates) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(_words(name, getattr(one, name)), _words(name, getattr(other, name)))
        for name in AGGREGATE_COLUMNS
    )


def _words(name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    dtype = "<i8" if name in INTEGERS or name == "series_index" else "<f8"
    return np.ascontiguousarray(values.astype(dtype)).view("<u8")


def _as_planes(rows: Aggregates) -> bytes:
    kind = _REVISED if any(getattr(rows, name).any() for name in OPTIONAL_COLUMNS) else _EXACT
    planes = b"".join(_planes(name, getattr(rows, name)) for name in _PLANES[kind])
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return _HEAD.pack(kind, len(rows)) + packer.compress(planes) + packer.flush()


def _planes(name: str, values: npt.NDArray[Any]) -> bytes:
    words = _words(name, values)
    before = np.concatenate((np.zeros(1, "<u8"), words[:-1]))
    # Differences wrap around and so does the sum that undoes them: exact for every value.
    words = words - before if name in INTEGERS else words ^ before
    return np.ascontiguousarray(words.view("u1").reshape(-1, 8).T).tobytes()


def _from_planes(columns: bytes, series: Series) -> Aggregates:
    kind, n = _HEAD.unpack_from(columns)
    names = _PLANES[kind]
    if n > MAX_ROWS:
        raise CloudError(f"series {series.name}: {n} rows in a record, at most {MAX_ROWS}")
    size = n * 8 * len(names)
    unpacker = zlib.decompressobj(-15)
    try:
        planes = unpacker.decompress(columns[_HEAD.size :], size + 1)
    except zlib.error as error:
        raise CloudError(f"series {series.name}: {error}") from error
    if len(planes) != size or not unpacker.eof or unpacker.unused_data:
        raise CloudError(f"series {series.name}: a record of {n} rows with {len(planes)} bytes")
    parts = (planes[at * 8 * n : (at + 1) * 8 * n] for at in range(len(names)))
    return Aggregates(
        (series,), np.zeros(n, np.int64), *(_column(name, part, n) for name, part in zip(names, parts, strict=True))
    )


def _column(name: str, planes: bytes, n: int) -> npt.NDArray[Any]:
    words = np.ascontiguousarray(np.frombuffer(planes, "u1").reshape(8, n).T).view("<u8").reshape(-1)
    if name in INTEGERS:
        return np.cumsum(words.view("<i8"), dtype=np.int64)
    return np.bitwise_xor.accumulate(words).view("<f8").astype(np.float64)
