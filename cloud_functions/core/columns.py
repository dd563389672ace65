"""Rows of aggregates as columns: joining batches, the rule of revisions, and exact bytes for roll-ups.

The bytes of a roll-up: u8 format = 2, u32 little-endian length of a JSON header, the header (rows, columns, cells:
those columns that are cells of a grid, series as [name, unit, resolution]), then raw deflate of the columns, each as
eight byte planes (all lowest bytes, then all second...) of 64-bit little-endian words: integers and cells as
differences, floats as XOR with the previous one. Every value is restored to the bit. Format 1 has no cells.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud_functions.core.errors import CloudError
from cloud_functions.core.grids import GRIDS
from wire.errors import ModelError
from wire.limits import MAX_INFLATED_BYTES
from wire.model import AGGREGATE_COLUMNS, FLOAT_COLUMNS, Aggregates, Quality, Readings, Series

COLUMNS = AGGREGATE_COLUMNS[1:]

_FORMAT = 2
_HEAD = struct.Struct("<BI")


def merge(parts: Iterable[Aggregates]) -> Aggregates:
    """Return the rows of several batches as one, sorted by series name and unit, then time.

    Of the rows of one series and window (start and width) the one with the highest revision is kept, of equal ones the
    last. Series are identified by name and unit; of different resolutions the first is kept.
    """
    rows = Aggregates.concatenate(list(parts))
    names: dict[tuple[str, str], int] = {}
    own = np.array([names.setdefault((s.name, s.unit), len(names)) for s in rows.series], np.int64)
    ranks = {key: rank for rank, key in enumerate(sorted(names))}
    rank_of = np.array([ranks[key] for key in names], np.int64)
    first: dict[int, Series] = {}
    for series, at in zip(rows.series, own.tolist(), strict=True):
        first.setdefault(int(rank_of[at]), series)
    index = rank_of[own[rows.series_index]] if len(rows) else rows.series_index
    order = np.lexsort((np.arange(len(rows)), rows.revision, rows.width_ms, rows.start_ms, index))
    last = np.ones(len(order), bool)
    if len(order):
        same = [column[order][1:] == column[order][:-1] for column in (index, rows.start_ms, rows.width_ms)]
        last[:-1] = ~(same[0] & same[1] & same[2])
    kept = order[last]
    columns = [getattr(rows, name)[kept] for name in AGGREGATE_COLUMNS[1:]]
    return Aggregates(tuple(first[rank] for rank in range(len(first))), index[kept], *columns)


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


def encode_rows(rows: Aggregates) -> bytes:
    """Return rows as bytes that :func:`decode_rows` restores exactly."""
    cells = {
        name: found for name, grid in GRIDS.items() if (found := grid.cells(getattr(rows, name), rows)) is not None
    }
    header = {
        "rows": len(rows),
        "columns": list(AGGREGATE_COLUMNS),
        "cells": list(cells),
        "series": [[series.name, series.unit, series.resolution] for series in rows.series],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    planes = b"".join(_planes(cells.get(name, getattr(rows, name))) for name in AGGREGATE_COLUMNS)
    # The header repeats across hours of a gateway, but each item must be readable alone.
    return _HEAD.pack(_FORMAT, len(text)) + packer.compress(text + planes) + packer.flush()


def decode_rows(data: bytes) -> Aggregates:
    """Return the rows that :func:`encode_rows` wrote; raises CloudError for other bytes."""
    try:
        version, length = _HEAD.unpack_from(data)
        if version not in (1, _FORMAT):
            raise CloudError(f"rows in format {version}: 1 to {_FORMAT} are known")
        unpacker = zlib.decompressobj(-15)
        content = unpacker.decompress(data[_HEAD.size :], MAX_INFLATED_BYTES)
        header = json.loads(content[:length])
        n, names = int(header["rows"]), header["columns"]
        planes = content[length:]
        if len(planes) != n * 8 * len(names) or not unpacker.eof or unpacker.unused_data:
            raise CloudError(f"{n} rows with {len(planes)} bytes")
        cells = header.get("cells", ())
        found = {
            name: _column(planes[at * 8 * n : (at + 1) * 8 * n], n, floats=name in FLOAT_COLUMNS and name not in cells)
            for at, name in enumerate(names)
        }
        series = tuple(Series(*entry) for entry in header["series"])
        rows = Aggregates(series, *(found.get(name, np.zeros(n, np.int64)) for name in AGGREGATE_COLUMNS))
        values: dict[str, Any] = {name: GRIDS[name].values(found[name], rows) for name in cells}
        return replace(rows, **values)
    except (struct.error, zlib.error, ValueError, TypeError, KeyError, ModelError) as error:
        raise CloudError(f"rows that begin with {data[:5].hex() or 'nothing'}: {type(error).__name__}") from error


def _planes(values: npt.NDArray[Any]) -> bytes:
    floats = values.dtype.kind == "f"
    words = np.ascontiguousarray(values.astype("<f8" if floats else "<i8")).view("<u8")
    before = np.concatenate((np.zeros(1, "<u8"), words[:-1]))
    # Differences wrap around and so does the sum that reverses them: exact for every value.
    words = words ^ before if floats else words - before
    return np.ascontiguousarray(words.view("u1").reshape(-1, 8).T).tobytes()


def _column(planes: bytes, n: int, *, floats: bool) -> npt.NDArray[Any]:
    words = np.ascontiguousarray(np.frombuffer(planes, "u1").reshape(8, n).T).view("<u8").reshape(-1)
    if floats:
        return np.bitwise_xor.accumulate(words).view("<f8").astype(np.float64)
    return np.cumsum(words.view("<i8"), dtype=np.int64)
