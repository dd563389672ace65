"""Frames of the journal: the unit that is written, verified and recovered. Pure.

A frame holds the records of one commit, or one snapshot. Its header has its own checksum, so that sequence number and
weight of a frame with a damaged body are known. A body is deflated if that makes it smaller.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAGIC = b"SLJ1"
_HEADER = struct.Struct("<4sB3xIQQQI")
"""Magic, flags, body length, sequence, total weight, own weight, CRC-32 of the body; then the CRC-32 of the header."""
_RECORD = struct.Struct("<BI")
HEADER_BYTES = _HEADER.size + 4
_DEFLATED, _SNAPSHOT = 1, 2
_DEFLATE_FROM = 64


@dataclass(frozen=True, slots=True)
class Record:
    """Entry of the journal; ``kind`` is a number from 0 to 255 that the owner defines."""

    kind: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """Description of a frame.

    A frame of records has the next ``sequence``; a snapshot has that of the last records it includes. ``total`` is the
    sum of the weights of all records written so far. ``weight`` is that of the frame's records, or of the state in a
    snapshot.
    """

    sequence: int
    total: int
    weight: int
    length: int
    crc: int
    snapshot: bool = False
    deflated: bool = False

    def matches(self, stored: bytes) -> bool:
        """Return whether ``stored`` matches length and checksum of the body."""
        return len(stored) == self.length and zlib.crc32(stored) == self.crc


def encode(body: bytes, sequence: int, total: int, weight: int, *, snapshot: bool = False) -> bytes:
    """Return a frame around ``body``."""
    flags, stored = (_SNAPSHOT if snapshot else 0), body
    if len(body) >= _DEFLATE_FROM and len(smaller := zlib.compress(body, 1)) < len(body):
        flags, stored = flags | _DEFLATED, smaller
    header = _HEADER.pack(MAGIC, flags, len(stored), sequence, total, weight, zlib.crc32(stored))
    return header + zlib.crc32(header).to_bytes(4, "little") + stored


def header_at(image: bytes, offset: int) -> Header | None:
    """Return the header at ``offset`` of a segment's bytes, None if it is invalid."""
    raw = image[offset : offset + HEADER_BYTES]
    if len(raw) < HEADER_BYTES or raw[:4] != MAGIC:
        return None
    if zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        return None
    _magic, flags, length, sequence, total, weight, crc = _HEADER.unpack(raw[:-4])
    return Header(sequence, total, weight, length, crc, bool(flags & _SNAPSHOT), bool(flags & _DEFLATED))


def headers(image: bytes) -> Iterator[tuple[int, Header]]:
    """Yield offset and content of every valid header in a segment's bytes."""
    offset = image.find(MAGIC)
    while offset >= 0:
        header = header_at(image, offset)
        if header is not None:
            yield offset, header
        offset = image.find(MAGIC, offset + 1)


def body_of(header: Header, stored: bytes) -> bytes:
    """Return the body that was passed to :func:`encode`."""
    return zlib.decompress(stored) if header.deflated else stored


def pack_records(records: Iterable[Record]) -> bytes:
    """Return records as the body of a frame."""
    return b"".join(_RECORD.pack(record.kind, len(record.body)) + record.body for record in records)


def unpack_records(body: bytes) -> Iterator[Record]:
    """Yield the records of a frame's body."""
    offset = 0
    while offset < len(body):
        kind, length = _RECORD.unpack_from(body, offset)
        offset += _RECORD.size
        yield Record(kind, body[offset : offset + length])
        offset += length
