"""Batches as bytes and back; the layout is specified in FORMAT.md.

Pure: no I/O, no clock. Any bytes at all give a batch or a :class:`wire.errors.DecodeError`, in bounded time and memory.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from wire.errors import (
    ChecksumError,
    DecodeError,
    FormatError,
    LimitError,
    MagicError,
    ModelError,
    TooLargeError,
    VersionError,
)
from wire.limits import MAX_BATCH_BYTES, MAX_INFLATED_BYTES, MAX_ROWS, MAX_SERIES
from wire.model import (
    AGGREGATE_COLUMNS,
    Aggregates,
    Anomalies,
    Anomaly,
    Batch,
    Notice,
    Readings,
    Rows,
    Series,
    check_name,
)

MAGIC = b"SL"
VERSION = 1


class Kind(IntEnum):
    """What the body of a batch holds."""

    READINGS = 1
    AGGREGATES = 2
    ANOMALIES = 3
    NOTICE = 4


class Coder(IntEnum):
    """How the body is compressed."""

    NONE = 0
    DEFLATE = 1


_HEADER = struct.Struct("<2sBQQB")
_PACKED = struct.Struct("<BBI")
_CRC = struct.Struct("<I")
_INTEGERS = {"series_index", "start_ms", "time_ms", "width_ms", "count"}
_READING_COLUMNS = ("series_index", "time_ms", "value", "quality")


def encode(batch: Batch, limit: int = MAX_BATCH_BYTES) -> bytes:
    """Return the batch as bytes.

    Raises TooLargeError above ``limit`` bytes, and ModelError for more rows or series than a batch may hold.
    """
    return seal(batch.gateway, batch.epoch, batch.sequence, pack(batch.rows), limit)


def pack(rows: Rows) -> bytes:
    """Return the rows as a batch holds them, without the name: what can be made before the number is known.

    Raises ModelError for more rows or series than a batch may hold.
    """
    kind, body = _encode_body(rows)
    coder, packed = min(
        ((Coder.NONE, body), (Coder.DEFLATE, zlib.compress(body, 9, wbits=-15))), key=lambda choice: len(choice[1])
    )
    return _PACKED.pack(kind, coder, len(body)) + packed


def seal(gateway: str, epoch: int, sequence: int, packed: bytes, limit: int = MAX_BATCH_BYTES) -> bytes:
    """Return the batch of that name around rows that were packed before; raises TooLargeError above ``limit``."""
    name = check_name(gateway, epoch, sequence).encode()
    data = _HEADER.pack(MAGIC, VERSION, epoch, sequence, len(name)) + name + packed
    data += _CRC.pack(zlib.crc32(data))
    if len(data) > limit:
        raise TooLargeError(f"batch {sequence} of {gateway}: {len(data)} bytes, at most {limit}")
    return data


def room(gateway: str, limit: int = MAX_BATCH_BYTES) -> int:
    """Return how long packed rows may be so that a batch of ``gateway`` with any number fits ``limit``."""
    return limit - _HEADER.size - len(gateway.encode()) - _CRC.size


def decode(data: bytes) -> Batch:
    """Return the batch that ``data`` holds; raises DecodeError (see wire.errors) for anything else."""
    if data[:2] != MAGIC:
        raise MagicError(f"begins with {data[:2].hex() or 'nothing'}, a batch begins with {MAGIC.hex()}")
    if len(data) < _HEADER.size + _PACKED.size + _CRC.size:
        raise FormatError(f"{len(data)} bytes are too few for a batch")
    _, version, epoch, sequence, name_length = _HEADER.unpack_from(data)
    if version != VERSION:
        raise VersionError(f"major version {version}, this reader knows {VERSION}")
    (crc,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if crc != zlib.crc32(data[: -_CRC.size]):
        raise ChecksumError(f"CRC32 {zlib.crc32(data[: -_CRC.size]):08x}, the batch says {crc:08x}")
    try:
        cursor = _Cursor(data[: -_CRC.size], _HEADER.size)
        gateway = cursor.text(name_length, "gateway")
        kind, coder, size = _PACKED.unpack(cursor.take(_PACKED.size, "kind, coder, size"))
        body = _unpack(cursor.rest(), coder, size)
        return Batch(gateway, epoch, sequence, _decode_body(kind, body))
    except ModelError as error:
        raise FormatError(str(error)) from error


def _encode_body(rows: Rows) -> tuple[Kind, bytes]:
    if isinstance(rows, Anomalies):
        return Kind.ANOMALIES, _json([report.to_dict() for report in rows.reports])
    if isinstance(rows, Notice):
        return Kind.NOTICE, _json({"time_ms": rows.time_ms, "counters": rows.counters})
    if len(rows) > MAX_ROWS or len(rows.series) > MAX_SERIES:
        raise ModelError(f"{len(rows)} rows, {len(rows.series)} series: at most {MAX_ROWS} and {MAX_SERIES}")
    names = _READING_COLUMNS if isinstance(rows, Readings) else AGGREGATE_COLUMNS
    body = struct.pack("<HI", len(rows.series), len(rows)) + b"".join(_series(rows.series))
    for name in names:
        body += _column(name, getattr(rows, name))
    return (Kind.READINGS if isinstance(rows, Readings) else Kind.AGGREGATES), body


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise ModelError(f"not to be written as JSON: {error}") from error


def _series(directory: Iterable[Series]) -> Iterable[bytes]:
    for series in directory:
        name, unit = series.name.encode(), series.unit.encode()
        resolution = 0.0 if series.resolution is None else series.resolution
        yield bytes((len(name),)) + name + bytes((len(unit),)) + unit + struct.pack("<d", resolution)


def _column(name: str, values: npt.NDArray[Any]) -> bytes:
    """One column as byte planes (all first bytes, then all second...), which is what lets deflate bite."""
    if name == "quality":
        return values.astype("u1").tobytes()
    # int64 differences wrap around and so does the sum that undoes them: exact for every value.
    words = np.diff(values.astype("<i8"), prepend=np.int64(0)) if name in _INTEGERS else values.astype("<f8")
    return np.ascontiguousarray(words.view("u1").reshape(-1, 8).T).tobytes()


class _Cursor:
    """Reads forward through bytes and names the field that is cut short."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, size: int, field: str) -> bytes:
        if self.at + size > len(self.data):
            raise FormatError(f"{field}: needs {size} bytes at offset {self.at}, {len(self.data) - self.at} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def u8(self, field: str) -> int:
        return self.take(1, field)[0]

    def text(self, size: int, field: str) -> str:
        try:
            return self.take(size, field).decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"{field}: not UTF-8") from error

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at, "rest")


def _unpack(packed: bytes, coder: int, size: int) -> bytes:
    if size > MAX_INFLATED_BYTES:
        raise LimitError(f"a body of {size} bytes, at most {MAX_INFLATED_BYTES}")
    if coder == Coder.NONE:
        body = packed
    elif coder == Coder.DEFLATE:
        inflater = zlib.decompressobj(wbits=-15)
        try:
            body = inflater.decompress(packed, size + 1)
        except zlib.error as error:
            raise FormatError(f"body: {error}") from error
    else:
        raise FormatError(f"coder {coder}, this reader knows {[int(c) for c in Coder]}")
    if len(body) != size:
        raise FormatError(f"body: {len(body)} bytes or more, the header says {size}")
    return body


def _decode_body(kind: int, body: bytes) -> Rows:
    if kind == Kind.ANOMALIES:
        reports = _load_json(body)
        if not isinstance(reports, list) or not all(isinstance(report, dict) for report in reports):
            raise FormatError("anomalies: not a list of objects")
        return Anomalies(tuple(Anomaly.from_dict(report) for report in reports))
    if kind == Kind.NOTICE:
        return _notice(_load_json(body))
    if kind not in (Kind.READINGS, Kind.AGGREGATES):
        raise FormatError(f"kind {kind}, this reader knows {[int(k) for k in Kind]}")
    return _decode_rows(Kind(kind), _Cursor(body))


def _load_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"body: {type(error).__name__}: {str(error)[:200]}") from error


def _notice(value: Any) -> Notice:
    try:
        time_ms = value["time_ms"]
        counters = {component: dict(counts) for component, counts in value["counters"].items()}
        numbers = [time_ms, *(n for counts in counters.values() for n in counts.values())]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"notice: {type(error).__name__}: {str(error)[:200]}") from error
    if any(type(n) is not int or abs(n) >= 2**63 for n in numbers):
        raise FormatError("notice: time_ms and counters must be whole numbers of 64 bits")
    return Notice(time_ms, counters)


def _decode_rows(kind: Kind, cursor: _Cursor) -> Readings | Aggregates:
    n_series, n = struct.unpack("<HI", cursor.take(6, "row counts"))
    if n > MAX_ROWS or n_series > MAX_SERIES:
        raise LimitError(f"{n} rows, {n_series} series: at most {MAX_ROWS} and {MAX_SERIES}")
    directory = []
    for at in range(n_series):
        name = cursor.text(cursor.u8("name length"), f"name of series {at}")
        unit = cursor.text(cursor.u8("unit length"), f"unit of series {at}")
        (resolution,) = struct.unpack("<d", cursor.take(8, f"resolution of series {at}"))
        directory.append(Series(name, unit, resolution if resolution != 0.0 else None))
    names = _READING_COLUMNS if kind == Kind.READINGS else AGGREGATE_COLUMNS
    columns = [_decode_column(name, n, cursor) for name in names]
    if cursor.rest():
        raise FormatError("bytes are left after the last column")
    return (Readings if kind == Kind.READINGS else Aggregates)(tuple(directory), *columns)


def _decode_column(name: str, n: int, cursor: _Cursor) -> npt.NDArray[Any]:
    if name == "quality":
        return np.frombuffer(cursor.take(n, name), "u1").copy()
    planes = np.frombuffer(cursor.take(8 * n, name), "u1").reshape(8, n)
    words = np.ascontiguousarray(planes.T)
    if name in _INTEGERS:
        return np.cumsum(words.view("<i8").reshape(-1), dtype=np.int64)
    return words.view("<f8").reshape(-1).astype(np.float64)


__all__ = ["Coder", "DecodeError", "Kind", "decode", "encode", "pack", "room", "seal"]
