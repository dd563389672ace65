"""Columns of a message between two components of one gateway: exact, with little processor time. Pure.

A message is ``MAGIC`` (4 bytes), u32 CRC-32 of all that follows, u64 epoch, u64 sequence, u8 gateway length, gateway,
then one zlib stream. Integers are written in the smallest type that holds them, numbers as integers if they have few
decimals. Bytes of equal significance are grouped, which deflate compresses better.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wire import codec
from wire.errors import ChecksumError, FormatError, LimitError, ModelError, TooLargeError
from wire.limits import MAX_INFLATED_BYTES
from wire.model import Aggregates, Batch, FloatArray, IntArray, Readings, Series

_SEAL = struct.Struct("<4sI")
_NAME = struct.Struct("<QQB")
_LEVEL = 1
_INT32 = 2.0**31 - 1
_EXACT = 2.0**53
_MAX_DECIMALS = 6
_SIZES = (1, 2, 4, 8)
FLOATS = 255
"""Type code of float64; other codes are the number of decimals of int32, with WIDE of int64."""

WIDE = 128
KNOWN_SERIES = 16_384
"""Maximum number of parsed directory lines in the cache: that of a gateway's series."""


def seal(magic: bytes, gateway: str, epoch: int, sequence: int, body: bytes, limit: int) -> bytes:
    """Return the message; raises TooLargeError above ``limit`` bytes."""
    name = gateway.encode()
    content = _NAME.pack(epoch, sequence, len(name)) + name + zlib.compress(body, _LEVEL)
    data = _SEAL.pack(magic, zlib.crc32(content)) + content
    if len(data) > limit:
        raise TooLargeError(f"{len(data)} bytes, at most {limit}")
    return data


def unseal(data: bytes) -> tuple[str, int, int, bytes]:
    """Return (gateway, epoch, sequence, body); raises DecodeError or UnicodeDecodeError."""
    if len(data) < _SEAL.size + _NAME.size:
        raise FormatError(f"{len(data)} bytes: shorter than the head")
    content = data[_SEAL.size :]
    if zlib.crc32(content) != _SEAL.unpack_from(data)[1]:
        raise ChecksumError("the checksum does not match")
    epoch, sequence, length = _NAME.unpack_from(content)
    end = _NAME.size + length
    return content[_NAME.size : end].decode(), epoch, sequence, _inflated(content[end:])


def decode(data: bytes, readers: Mapping[bytes, Callable[[bytes], Readings | Aggregates]]) -> Batch:
    """Decode a message whose body is read by the reader of its magic, or a batch in the wire format.

    Raises DecodeError.
    """
    read_rows = readers.get(data[:4])
    if read_rows is None:
        return codec.decode(data)
    try:
        gateway, epoch, sequence, body = unseal(data)
        return Batch(gateway, epoch, sequence, read_rows(body))
    except (ModelError, UnicodeDecodeError) as error:
        raise FormatError(str(error)) from error


def directory(series: Sequence[Series]) -> bytes:
    """Return the series, one per line: name, unit, resolution."""
    return "\n".join(map(_line, series)).encode()


def read_directory(text: bytes) -> tuple[Series, ...]:
    """Return the series that :func:`directory` wrote; raises FormatError, ModelError or UnicodeDecodeError."""
    if not text:
        return ()
    return tuple(map(_read_line, text.decode().split("\n")))


def integers(column: IntArray) -> tuple[int, bytes]:
    """Return the size of an item and the bytes of a column of non-negative integers."""
    largest = int(column.max()) if len(column) else 0
    size = next(size for size in _SIZES if largest < 1 << (8 * size))
    return size, shuffled(column.astype(f"<u{size}"))


def numbers(column: FloatArray) -> tuple[int, bytes]:
    """Return the type code and the bytes of a column of numbers, which are restored exactly."""
    largest = float(np.abs(column).max()) if len(column) else 0.0
    if largest < _EXACT and not np.signbit(column[column == 0]).any():  # integers cannot represent -0.0
        for decimals in range(_MAX_DECIMALS + 1):
            scale = 10.0**decimals
            if largest >= _EXACT / scale:
                break
            scaled = np.rint(column * scale)
            if (scaled / scale == column).all():
                wide = largest * scale >= _INT32
                return decimals | (WIDE if wide else 0), shuffled(scaled.astype("<i8" if wide else "<i4"))
    return FLOATS, shuffled(column.astype("<f8"))


def shuffled(column: npt.NDArray[np.generic]) -> bytes:
    """Return the bytes of a column, grouped by significance."""
    return column.view(np.uint8).reshape(len(column), column.itemsize).T.tobytes()


class ColumnReader:
    """Reader of the columns of a body, in order; every method raises FormatError for invalid content."""

    def __init__(self, body: bytes, at: int, count: int) -> None:
        self._body, self._at, self._count = body, at, count

    def integers(self, size: int) -> IntArray:
        """Return a column of non-negative integers of ``size`` bytes each."""
        if size not in _SIZES:
            raise FormatError(f"body: integers of {size} bytes")
        column = self._take(f"<u{size}")
        if size == 8 and self._count and int(column.max()) > 2**62:
            raise FormatError("body: an integer beyond 62 bits")
        return column.astype(np.int64)

    def numbers(self, code: int) -> FloatArray:
        """Return a column of numbers of a type code."""
        if code == FLOATS:
            return self._take("<f8").astype(np.float64)
        decimals = code & ~WIDE
        if decimals > _MAX_DECIMALS:
            raise FormatError(f"body: {decimals} decimals")
        whole: FloatArray = self._take("<i8" if code & WIDE else "<i4").astype(np.float64)
        return whole / 10.0**decimals

    def octets(self) -> npt.NDArray[np.uint8]:
        """Return a column of bytes."""
        return self._take("<u1").astype(np.uint8)

    def finish(self) -> None:
        """Raise FormatError if bytes are left."""
        if self._at != len(self._body):
            raise FormatError(f"body: {len(self._body) - self._at} bytes are left after {self._count} rows")

    def _take(self, name: str) -> npt.NDArray[np.generic]:
        size = np.dtype(name).itemsize
        end = self._at + size * self._count
        if end > len(self._body):
            raise FormatError(f"body: {len(self._body)} bytes do not fit {self._count} rows")
        raw = np.frombuffer(self._body, np.uint8, size * self._count, self._at).reshape(size, self._count)
        self._at = end
        return np.ascontiguousarray(raw.T).view(name).reshape(self._count)


@lru_cache(maxsize=KNOWN_SERIES)
def _read_line(line: str) -> Series:
    """Return the series of a line; cached, because the same lines are in every message."""
    fields = line.split("\t")
    if len(fields) != 3:
        raise FormatError(f"directory: {len(fields)} fields in a line")
    try:
        resolution = float(fields[2]) if fields[2] else None
    except ValueError as error:
        raise FormatError(f"directory: resolution {fields[2][:40]!r}") from error
    return Series(fields[0], fields[1], resolution)


def _line(series: Series) -> str:
    return f"{series.name}\t{series.unit}\t{'' if series.resolution is None else repr(float(series.resolution))}"


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
