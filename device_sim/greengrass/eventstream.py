"""Encoder and decoder of AWS event-stream frames; pure.

A frame, all big-endian: u32 total length, u32 headers length, u32 CRC32 of those eight bytes, headers, payload, u32
CRC32 of everything before it. A header: u8 name length, name, u8 type, value. Source: the "event stream encoding" page
of the Amazon Transcribe developer guide; bounds as in aws-c-event-stream (names 127, values 32,767 bytes).
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from device_sim.greengrass.errors import EventStreamError, FrameChecksumError, FrameFormatError, FrameSizeError

PRELUDE = struct.Struct(">III")
_LENGTHS = struct.Struct(">II")
_U32 = struct.Struct(">I")
_U16 = struct.Struct(">H")
OVERHEAD = PRELUDE.size + _U32.size
MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_HEADERS_BYTES = 128 * 1024
MAX_NAME_BYTES = 127
MAX_VALUE_BYTES = 32_767


class HeaderType(IntEnum):
    """The type byte of a header."""

    TRUE = 0
    FALSE = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    BYTES = 6
    STRING = 7
    TIMESTAMP = 8
    UUID = 9


_NUMBERS = {
    HeaderType.INT8: struct.Struct(">b"),
    HeaderType.INT16: struct.Struct(">h"),
    HeaderType.INT32: struct.Struct(">i"),
    HeaderType.INT64: struct.Struct(">q"),
    HeaderType.TIMESTAMP: struct.Struct(">q"),
}


@dataclass(frozen=True, slots=True)
class Header:
    """Name and typed value: bool, int, bytes, str or UUID, depending on ``type``; timestamps in ms since the epoch."""

    name: str
    type: HeaderType
    value: bool | int | bytes | str | uuid.UUID


@dataclass(frozen=True, slots=True)
class Frame:
    """Headers and payload."""

    headers: tuple[Header, ...] = ()
    payload: bytes = b""


def text(name: str, value: str) -> Header:
    """Return a string header."""
    return Header(name, HeaderType.STRING, value)


def int32(name: str, value: int) -> Header:
    """Return an int32 header."""
    return Header(name, HeaderType.INT32, value)


def encode(frame: Frame, max_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """Return the bytes of a frame; raises FrameSizeError or FrameFormatError when the format cannot hold it."""
    headers = b"".join(map(_encode_header, frame.headers))
    total = OVERHEAD + len(headers) + len(frame.payload)
    if len(headers) > MAX_HEADERS_BYTES:
        raise FrameSizeError(f"headers of {len(headers)} bytes, at most {MAX_HEADERS_BYTES}")
    if total > max_bytes:
        raise FrameSizeError(f"a frame of {total} bytes, at most {max_bytes}")
    lengths = _LENGTHS.pack(total, len(headers))
    body = b"".join((lengths, _U32.pack(zlib.crc32(lengths)), headers, frame.payload))
    return body + _U32.pack(zlib.crc32(body))


def _encode_header(header: Header) -> bytes:
    name = _utf8(header.name, "a header's name")
    if not 1 <= len(name) <= MAX_NAME_BYTES:
        raise FrameSizeError(f"a header's name of {len(name)} bytes, 1 to {MAX_NAME_BYTES} are allowed")
    return bytes((len(name),)) + name + bytes((header.type,)) + _encode_value(header)


def _encode_value(header: Header) -> bytes:
    kind, value = header.type, header.value
    if kind in (HeaderType.TRUE, HeaderType.FALSE):
        if value is not (kind is HeaderType.TRUE):
            raise FrameFormatError(f"header {header.name!r}: {value!r} is not of type {kind.name}")
        return b""
    if kind in _NUMBERS and isinstance(value, int) and not isinstance(value, bool):
        try:
            return _NUMBERS[kind].pack(value)
        except struct.error as error:
            raise FrameSizeError(f"header {header.name!r}: {value} does not fit {kind.name}") from error
    if kind is HeaderType.UUID and isinstance(value, uuid.UUID):
        return value.bytes
    if kind is HeaderType.BYTES and isinstance(value, bytes):
        return _sized(header.name, value)
    if kind is HeaderType.STRING and isinstance(value, str):
        return _sized(header.name, _utf8(value, f"header {header.name!r}"))
    raise FrameFormatError(f"header {header.name!r}: {type(value).__name__} is not of type {kind.name}")


def _utf8(value: str, what: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise FrameFormatError(f"{what}: {value!r} is not UTF-8 text") from error


def _sized(name: str, value: bytes) -> bytes:
    if len(value) > MAX_VALUE_BYTES:
        raise FrameSizeError(f"header {name!r}: {len(value)} bytes, at most {MAX_VALUE_BYTES}")
    return _U16.pack(len(value)) + value


class Decoder:
    """Incremental decoder for a stream of bytes in chunks of any size; unusable after an error."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._error: EventStreamError | None = None

    @property
    def pending(self) -> int:
        """Number of buffered bytes of an incomplete frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames completed by ``data``; raises EventStreamError for a malformed frame.

        Frames before a malformed one are returned first, and the next call raises the error.
        """
        if self._error is not None:
            raise self._error
        self._buffer += data
        frames: list[Frame] = []
        try:
            while (total := self._announced()) is not None and len(self._buffer) >= total:
                frames.append(_decode(bytes(self._buffer[:total])))
                del self._buffer[:total]
        except EventStreamError as error:
            self._error = error
            self._buffer.clear()
            if not frames:
                raise
        return frames

    def _announced(self) -> int | None:
        """Return the validated length of the first frame in the buffer, or None without a complete prelude."""
        if len(self._buffer) < PRELUDE.size:
            return None
        total, headers, checksum = PRELUDE.unpack_from(self._buffer)
        if zlib.crc32(self._buffer[: _LENGTHS.size]) != checksum:
            raise FrameChecksumError("the prelude's CRC32 does not match")
        if total > self._max_bytes:
            raise FrameSizeError(f"a frame of {total} bytes, at most {self._max_bytes}")
        if headers > MAX_HEADERS_BYTES:
            raise FrameSizeError(f"headers of {headers} bytes, at most {MAX_HEADERS_BYTES}")
        if total < OVERHEAD + headers:
            raise FrameFormatError(f"a frame of {total} bytes with headers of {headers}")
        return int(total)


def _decode(data: bytes) -> Frame:
    if zlib.crc32(data[:-4]) != _U32.unpack_from(data, len(data) - 4)[0]:
        raise FrameChecksumError("the frame's CRC32 does not match")
    _, length, _ = PRELUDE.unpack_from(data)
    end = PRELUDE.size + length
    return Frame(tuple(_decode_headers(data[PRELUDE.size : end])), data[end:-4])


def _decode_headers(data: bytes) -> Sequence[Header]:
    headers, at = [], 0
    while at < len(data):
        size = data[at]
        name = _text(_take(data, at + 1, size), "a header's name")
        at += 1 + size
        if not 1 <= size <= MAX_NAME_BYTES:
            raise FrameSizeError(f"a header's name of {size} bytes, 1 to {MAX_NAME_BYTES} are allowed")
        code = _take(data, at, 1)[0]
        try:
            kind = HeaderType(code)
        except ValueError as error:
            raise FrameFormatError(f"header {name!r}: unknown type {code}, 0 to 9 are allowed") from error
        value, at = _decode_value(data, at + 1, name, kind)
        headers.append(Header(name, kind, value))
    return headers


def _decode_value(data: bytes, at: int, name: str, kind: HeaderType) -> tuple[Any, int]:
    if kind in (HeaderType.TRUE, HeaderType.FALSE):
        return kind is HeaderType.TRUE, at
    if kind in _NUMBERS:
        number = _NUMBERS[kind]
        return number.unpack(_take(data, at, number.size))[0], at + number.size
    if kind is HeaderType.UUID:
        return uuid.UUID(bytes=_take(data, at, 16)), at + 16
    (size,) = _U16.unpack(_take(data, at, 2))
    if size > MAX_VALUE_BYTES:
        raise FrameSizeError(f"header {name!r}: {size} bytes, at most {MAX_VALUE_BYTES}")
    raw = _take(data, at + 2, size)
    read: Callable[[bytes], Any] = bytes if kind is HeaderType.BYTES else lambda b: _text(b, f"header {name!r}")
    return read(raw), at + 2 + size


def _take(data: bytes, at: int, size: int) -> bytes:
    piece = data[at : at + size]
    if len(piece) != size:
        raise FrameFormatError(f"the headers end {size - len(piece)} bytes early")
    return piece


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise FrameFormatError(f"{what} is not UTF-8 text") from error
