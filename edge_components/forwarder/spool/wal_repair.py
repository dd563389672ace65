"""SQLite's write-ahead log after a bit of it was flipped: what is behind the flip can still be read. Pure.

SQLite plays the log up to the first frame whose checksum is wrong and ignores all that follows, as it must after a
power cut. After a flipped bit that is a loss without a word: what was committed, and perhaps acted upon, is gone.
:func:`repaired` gives every frame of the present log a checksum that is right, so that only the page with the flipped
bit is in doubt; rows have checksums of their own. The format: https://www.sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
_VERSION = 3_007_000
_HEADER_BYTES, _FRAME_BYTES = 32, 24


def repaired(log: bytes, page_bytes: int) -> bytes | None:
    """Return the log with right checksums up to its last commit; None when they are right or it has no commit.

    ``page_bytes`` is the database's page size. A log whose only wrong frames lie behind its last commit is as a power
    cut leaves it, and right.
    """
    frame = _FRAME_BYTES + page_bytes
    number = (len(log) - _HEADER_BYTES) // frame
    if number < 1:
        return None
    places = [_HEADER_BYTES + at * frame for at in range(number)]
    salts = Counter(log[place + 8 : place + 16] for place in places)
    header, order = _header(log, page_bytes, salts)
    # Frames of the log before this one, which it has not overwritten yet, have other salts.
    present = [at for at, place in enumerate(places) if log[place + 8 : place + 16] == header[16:24]]
    commits = [at for at in present if log[places[at] + 4 : places[at] + 8] != bytes(4)]
    if not commits:
        return None
    fresh = bytearray(header)
    sums = struct.unpack(">II", header[24:32])
    for place in places[: commits[-1] + 1]:
        page = log[place + _FRAME_BYTES : place + frame]
        sums = _checksum(log[place : place + 8] + page, sums, order)
        fresh += log[place : place + 8] + header[16:24] + struct.pack(">II", *sums) + page
    return None if log.startswith(fresh) else bytes(fresh)


def _header(log: bytes, page_bytes: int, salts: Counter[bytes]) -> tuple[bytes, str]:
    """Return the log's header, made anew where it is damaged, and the byte order of its checksums."""
    magic = struct.unpack(">I", log[:4])[0]
    order = _MAGICS.get(magic)
    if order is not None and struct.unpack(">II", log[24:32]) == _checksum(log[:24], (0, 0), order):
        return log[:32], order
    if order is None:
        magic, order = 0x377F0682, "<"  # as every machine writes it that we run on
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
