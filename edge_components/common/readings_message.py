"""The message that carries a batch of readings from the sensor reader to the aggregator. Pure.

The wire format (:mod:`wire.codec`) spends processor time to save bytes, which pays on the way to the cloud. Between two
processes of one gateway processor time is dearer, so this format writes whole columns, with the values as integers
where they have few decimals, through one fast deflate. Values are exact.

Layout, little-endian: ``SLR1``, u32 CRC-32 of all that follows, u64 epoch, u64 sequence, u8 gateway length, gateway,
then a zlib stream of u32 rows, u32 directory bytes, i64 first time, four u8 (item sizes of index and time, decimals of
the value or FLOATS, 1 where a quality column follows), the directory (a line a series: name, unit, resolution), and the
columns with the bytes of equal significance together.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from wire import codec
from wire.errors import ChecksumError, FormatError, LimitError, ModelError, TooLargeError
from wire.limits import MAX_INFLATED_BYTES, MAX_LOCAL_BYTES, MAX_ROWS
from wire.model import Batch, FloatArray, Quality, Readings, Series

MAGIC = b"SLR1"
_SEAL = struct.Struct("<4sI")
_NAME = struct.Struct("<QQB")
_BODY = struct.Struct("<IIq4B")
_LEVEL = 1
_FLOATS = 255
_WIDE = 128
_INT32 = 2.0**31 - 1
_MAX_DECIMALS = 6
_EXACT = 2.0**53
_MAX_TIME = 2**62
_SIZES = (1, 2, 4, 8)


def encode(batch: Batch, limit: int = MAX_LOCAL_BYTES) -> bytes:
    """Encode a batch of readings; raises TooLargeError above ``limit`` bytes and ModelError for other rows."""
    rows = batch.rows
    if not isinstance(rows, Readings):
        raise ModelError(f"a batch of {type(rows).__name__}: only readings are sent in this format")
    directory = "\n".join(map(_line, rows.series)).encode()
    first = int(rows.time_ms.min()) if len(rows) else 0
    index, index_size = _narrowed(rows.series_index)
    time, time_size = _narrowed(rows.time_ms - first)
    values, decimals = _values(rows.value)
    quality = rows.quality if rows.quality.any() else None
    head = _BODY.pack(len(rows), len(directory), first, index_size, time_size, decimals, quality is not None)
    columns = [head, directory, _shuffled(index), _shuffled(time), _shuffled(values)]
    if quality is not None:
        columns.append(quality.tobytes())
    gateway = batch.gateway.encode()
    name = _NAME.pack(batch.epoch, batch.sequence, len(gateway)) + gateway
    content = name + zlib.compress(b"".join(columns), _LEVEL)
    data = _SEAL.pack(MAGIC, zlib.crc32(content)) + content
    if len(data) > limit:
        raise TooLargeError(f"{len(data)} bytes, at most {limit}")
    return data


def decode(data: bytes) -> Batch:
    """Decode a batch from the sensor reader, also one of a former version in the wire format.

    Rows are returned in the order of time, then of the directory. Raises DecodeError for anything else.
    """
    if data[:4] != MAGIC:
        return codec.decode(data)
    if len(data) < _SEAL.size + _NAME.size:
        raise FormatError(f"{len(data)} bytes: shorter than the head")
    content = data[_SEAL.size :]
    if zlib.crc32(content) != _SEAL.unpack_from(data)[1]:
        raise ChecksumError("the checksum does not match")
    epoch, sequence, length = _NAME.unpack_from(content)
    end = _NAME.size + length
    try:
        return Batch(content[_NAME.size : end].decode(), epoch, sequence, _rows(_inflated(content[end:])))
    except (ModelError, UnicodeDecodeError) as error:
        raise FormatError(str(error)) from error


def _line(series: Series) -> str:
    return f"{series.name}\t{series.unit}\t{'' if series.resolution is None else repr(float(series.resolution))}"


def _narrowed(column: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint64], int]:
    """Return a column of non-negative integers in the smallest type that holds them, and the size of an item."""
    largest = int(column.max()) if len(column) else 0
    size = next(size for size in _SIZES if largest < 1 << (8 * size))
    return column.astype(f"<u{size}"), size


def _values(value: FloatArray) -> tuple[npt.NDArray[np.generic], int]:
    """Return values as integers of the fewest decimals that give each of them back exactly, else as they are."""
    largest = float(np.abs(value).max()) if len(value) else 0.0
    if np.signbit(value[value == 0]).any():  # an integer has no -0.0
        return value.astype("<f8"), _FLOATS
    for decimals in range(_MAX_DECIMALS + 1):
        scale = 10.0**decimals
        if largest >= _EXACT / scale:
            break
        scaled = np.rint(value * scale)
        if (scaled / scale == value).all():
            wide = largest * scale >= _INT32
            return scaled.astype("<i8" if wide else "<i4"), decimals | (_WIDE if wide else 0)
    return value.astype("<f8"), _FLOATS


def _shuffled(column: npt.NDArray[np.generic]) -> bytes:
    """Return the bytes of a column with those of equal significance together, which deflate packs better."""
    return column.view(np.uint8).reshape(len(column), column.itemsize).T.tobytes()


def _inflated(stream: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(stream, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise FormatError(f"body: {error}") from error
    if inflater.unconsumed_tail:
        raise LimitError(f"body: more than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise FormatError("body: does not end where the message ends")
    return body


def _rows(body: bytes) -> Readings:
    if len(body) < _BODY.size:
        raise FormatError(f"body: {len(body)} bytes, shorter than its head")
    count, directory_size, first, index_size, time_size, decimals, has_quality = _BODY.unpack_from(body)
    value_type = "<f8" if decimals == _FLOATS else "<i8" if decimals & _WIDE else "<i4"
    if count > MAX_ROWS:
        raise LimitError(f"{count} rows, at most {MAX_ROWS}")
    if index_size not in _SIZES or time_size not in _SIZES or has_quality > 1:
        raise FormatError(f"body: item sizes {index_size} and {time_size}, quality {has_quality}")
    if decimals != _FLOATS and decimals & ~_WIDE > _MAX_DECIMALS:
        raise FormatError(f"body: {decimals & ~_WIDE} decimals")
    columns = [f"<u{index_size}", f"<u{time_size}", value_type, *(["<u1"] if has_quality else [])]
    at = _BODY.size + directory_size
    if len(body) != at + count * sum(np.dtype(name).itemsize for name in columns):
        raise FormatError(f"body: {len(body)} bytes do not fit {count} rows")
    series = _directory(body[_BODY.size : at])
    read = []
    for name in columns:
        size = np.dtype(name).itemsize
        raw = np.frombuffer(body, np.uint8, count * size, at).reshape(size, count)
        read.append(np.ascontiguousarray(raw.T).view(name).reshape(count))
        at += count * size
    if count and (int(read[1].max()) > _MAX_TIME or abs(first) > _MAX_TIME):
        raise FormatError("body: a time beyond 62 bits")
    index, time = read[0].astype(np.int64), read[1].astype(np.int64) + first
    value = read[2].astype(np.float64) / (1.0 if decimals == _FLOATS else 10.0 ** (decimals & ~_WIDE))
    quality = read[3] if has_quality else np.zeros(count, np.uint8)
    if count and not (np.isfinite(value).all() and int(quality.max()) <= Quality.BAD):
        raise FormatError("body: a value that is not finite, or an unknown quality")
    if count and not 0 <= int(index.min()) <= int(index.max()) < len(series):
        raise FormatError(f"series index: outside the directory of {len(series)}")
    order = np.lexsort((index, time))
    return Readings(series, index[order], time[order], value[order], quality[order])


def _directory(text: bytes) -> tuple[Series, ...]:
    if not text:
        return ()
    found = []
    for line in text.decode().split("\n"):
        fields = line.split("\t")
        if len(fields) != 3:
            raise FormatError(f"directory: {len(fields)} fields in a line")
        try:
            resolution = float(fields[2]) if fields[2] else None
        except ValueError as error:
            raise FormatError(f"directory: resolution {fields[2][:40]!r}") from error
        found.append(Series(fields[0], fields[1], resolution))
    return tuple(found)
