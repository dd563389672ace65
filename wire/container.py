"""Container around the rows: name of the batch, kind, coder and checksum.

::

    "SL"  major  epoch u64  sequence  gateway  |  packed                                  |  CRC32 u32
                                               |  flags  [profile]  size  stream          |

``packed`` can be encoded before the sequence number is known; see FORMAT.md.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from wire.cursor import Cursor, number
from wire.errors import ChecksumError, FormatError, LimitError, MagicError, TooLargeError, VersionError
from wire.limits import MAX_INFLATED_BYTES
from wire.names import check_name
from wire.preset_dictionary import DICTIONARY

MAGIC = b"SL"
MAJOR = 1
_EPOCH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MAX_VARINT = 9
_PROFILE, _RESERVED = 0x40, 0x80
_LZMA: list[dict[str, Any]] = [
    {"id": lzma.FILTER_LZMA1, "preset": 6, "dict_size": 1 << 16, "lc": 1, "lp": 0, "pb": 0, "mf": lzma.MF_BT3}
]


class Kind(IntEnum):
    """Content of a batch."""

    READINGS = 1
    AGGREGATES = 2
    ANOMALIES = 3
    NOTICE = 4
    PROFILE = 5


class Coder(IntEnum):
    """Compression of the content."""

    NONE = 0
    DEFLATE = 1
    LZMA1 = 2
    MODEL = 3
    """The compressed head, followed by symbols of the model."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Parsed ``packed``: kind, coder, version of the required profile, and the stream with its inflated size."""

    kind: Kind
    coder: Coder
    profile: int | None
    size: int
    stream: bytes


def seal(gateway: str, epoch: int, sequence: int, packed: bytes, limit: int) -> bytes:
    """Return the batch with this name around packed rows; raises TooLargeError above ``limit``."""
    name = check_name(gateway, epoch, sequence).encode()
    data = b"".join((MAGIC, bytes((MAJOR,)), _EPOCH.pack(epoch), number(sequence), bytes((len(name),)), name, packed))
    data += _CRC.pack(zlib.crc32(data))
    if len(data) > limit:
        raise TooLargeError(f"batch {sequence} of {gateway}: {len(data)} bytes, at most {limit}")
    return data


def room(gateway: str, limit: int) -> int:
    """Return the maximum size of packed rows for a batch of ``gateway`` with any sequence number within ``limit``."""
    return limit - len(MAGIC) - 1 - _EPOCH.size - _MAX_VARINT - 1 - len(gateway.encode()) - _CRC.size


def unseal(data: bytes) -> tuple[str, int, int, bytes]:
    """Return (gateway, epoch, sequence, packed); raises DecodeError."""
    if data[:2] != MAGIC:
        raise MagicError(f"begins with {data[:2].hex() or 'nothing'}, a batch begins with {MAGIC.hex()}")
    if len(data) < len(MAGIC) + 1 + _EPOCH.size + 4 + _CRC.size:
        raise FormatError(f"{len(data)} bytes are too few for a batch")
    if data[2] != MAJOR:
        raise VersionError(f"major version {data[2]}, this reader knows {MAJOR}")
    (stated,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    body = data[: -_CRC.size]
    if stated != zlib.crc32(body):
        raise ChecksumError(f"CRC32 {zlib.crc32(body):08x}, the batch states {stated:08x}")
    cursor = Cursor(body, 3)
    (epoch,) = _EPOCH.unpack(cursor.take(_EPOCH.size, "epoch"))
    sequence = cursor.number("sequence")
    gateway = cursor.text(cursor.byte("gateway"), "gateway")
    return gateway, epoch, sequence, cursor.rest()


def pack(kind: Kind, coder: Coder, size: int, stream: bytes, profile: int | None = None) -> bytes:
    """Return ``packed`` from its parts."""
    flags = coder | kind << 2 | (_PROFILE if profile is not None else 0)
    named = b"" if profile is None else number(profile)
    return bytes((flags,)) + named + number(size) + stream


def unpack(packed: bytes) -> Packed:
    """Return the parts of ``packed``; raises FormatError, and LimitError for a size above the limit."""
    cursor = Cursor(packed)
    flags = cursor.byte("flags")
    kind, coder = flags >> 2 & 15, flags & 3
    if flags & _RESERVED or kind not in Kind.__members__.values():
        raise FormatError(f"flags {flags:#04x}: this reader knows kinds {[int(k) for k in Kind]}")
    profile = cursor.number("profile") if flags & _PROFILE else None
    size = cursor.number("size")
    if size > MAX_INFLATED_BYTES:
        raise LimitError(f"a content of {size} bytes, at most {MAX_INFLATED_BYTES}")
    return Packed(Kind(kind), Coder(coder), profile, size, cursor.rest())


def deflate(content: bytes) -> bytes:
    """Return the content as raw deflate (RFC 1951) with the preset dictionary."""
    packer = zlib.compressobj(9, wbits=-15, memLevel=9, zdict=DICTIONARY)
    return packer.compress(content) + packer.flush()


def lzma1(content: bytes) -> bytes:
    """Return the content as raw LZMA1; the dictionary is no larger than the content, which halves the time."""
    size = min(max(1 << (len(content) - 1).bit_length(), 1 << 12), 1 << 16) if content else 1 << 12
    return lzma.compress(content, format=lzma.FORMAT_RAW, filters=[_LZMA[0] | {"dict_size": size}])


PACK: dict[Coder, Callable[[bytes], bytes]] = {Coder.NONE: bytes, Coder.DEFLATE: deflate, Coder.LZMA1: lzma1}
"""Byte coders."""


def smallest(content: bytes) -> tuple[Coder, bytes]:
    """Return the content packed by the byte coder with the smallest result."""
    return min(((coder, compress(content)) for coder, compress in PACK.items()), key=lambda choice: len(choice[1]))


def join(head: bytes, symbols: bytes) -> tuple[int, bytes]:
    """Return (size of the head, stream): coder and length of the packed head, the packed head, the symbols."""
    coder, packed = smallest(head)
    return len(head), bytes((coder,)) + number(len(packed)) + packed + symbols


def split(packed: Packed) -> tuple[bytes, bytes]:
    """Return (head, symbols) of a stream made by :func:`join`; raises FormatError."""
    cursor = Cursor(packed.stream)
    coder = cursor.byte("coder of the head")
    if coder not in (Coder.NONE, Coder.DEFLATE, Coder.LZMA1):
        raise FormatError(f"coder of the head: {coder}")
    head = cursor.take(cursor.number("length of the head"), "head")
    return inflate(Coder(coder), packed.size, head), cursor.rest()


def inflate(coder: Coder, size: int, stream: bytes) -> bytes:
    """Return the unpacked content; raises FormatError. At most ``size`` + 1 bytes are inflated."""
    content, ended = stream, True
    if coder is not Coder.NONE:
        inflater = (
            zlib.decompressobj(wbits=-15, zdict=DICTIONARY)
            if coder is Coder.DEFLATE
            else lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA)
        )
        try:
            content = inflater.decompress(stream, size + 1)
        except (zlib.error, lzma.LZMAError, EOFError) as error:
            raise FormatError(f"content: {error}") from error
        ended = inflater.eof and not inflater.unused_data
    if len(content) != size:
        raise FormatError(f"content: {len(content)} bytes or more, the batch states {size}")
    if not ended:
        raise FormatError("content: its stream does not end at the stated size")
    return content
