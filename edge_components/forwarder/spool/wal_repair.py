"""Repair of SQLite's write-ahead log, so that frames behind a flipped bit can be read. Pure.

SQLite replays the log up to the first frame with a wrong checksum and ignores the rest, which is correct after a power
cut. After a flipped bit it loses committed transactions without an error. :func:`repaired` recomputes the checksums of
all frames of the present log, so that only the page with the flipped bit is damaged; rows have their own checksums.
Format: https://www.sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
_VERSION = 3_007_000
_HEADER_BYTES, _FRAME_BYTES = 32, 24


def repaired(log: bytes, page_bytes: int) -> bytes | None:
    """Return the log with correct checksums up to its last commit; None if they are correct or a commit is missing.

    ``page_bytes`` is the page size of the database. Wrong checksums behind the last commit are the normal state after a
    power cut.
    """
    frame = _FRAME_BYTES + page_bytes
    number = (len(log) - _HEADER_BYTES) // frame
    if number < 1:
        return None
    offsets = [_HEADER_BYTES + at * frame for at in range(number)]
    salts = Counter(log[offset + 8 : offset + 16] for offset in offsets)
    header, order = _header(log, page_bytes, salts)
    # Frames of the previous log that are not overwritten yet have other salts.
    present = [at for at, offset in enumerate(offsets) if log[offset + 8 : offset + 16] == header[16:24]]
    commits = [at for at in present if log[offsets[at] + 4 : offsets[at] + 8] != bytes(4)]
    if not commits:
        return None
    fresh = bytearray(header)
    sums = struct.unpack(">II", header[24:32])
    for offset in offsets[: commits[-1] + 1]:
        page = log[offset + _FRAME_BYTES : offset + frame]
        sums = _checksum(log[offset : offset + 8] + page, sums, order)
        fresh += log[offset : offset + 8] + header[16:24] + struct.pack(">II", *sums) + page
    return None if log.startswith(fresh) else bytes(fresh)


def _header(log: bytes, page_bytes: int, salts: Counter[bytes]) -> tuple[bytes, str]:
    """Return the header, reconstructed if it is damaged, and the byte order of the checksums."""
    magic = struct.unpack(">I", log[:4])[0]
    order = _MAGICS.get(magic)
    if order is not None and struct.unpack(">II", log[24:32]) == _checksum(log[:24], (0, 0), order):
        return log[:32], order
    if order is None:
        magic, order = 0x377F0682, "<"  # little-endian, as all supported machines write it
    start = struct.pack(">III", magic, _VERSION, page_bytes) + log[12:16] + salts.most_common(1)[0][0]
    return start + struct.pack(">II", *_checksum(start, (0, 0), order)), order


def _checksum(data: bytes, sums: tuple[int, ...], order: str) -> tuple[int, int]:
    first, second = sums
    for one, other in _pairs(data, order):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second


def _pairs(data: bytes, order: str) -> Iterator[tuple[int, int]]:
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    return zip(words[::2], words[1::2], strict=True)
