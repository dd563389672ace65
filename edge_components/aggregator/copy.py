"""A second copy of the checkpoint, so that bits that change in the first cost nothing.

A plain file, written over in place after each commit and never waited for (no fsync): what the flash sees is a copy now
and then, not one a commit. After a power cut it may be behind or torn; then the checkpoint, which is synced, is right.
Its first bytes tell, under a checksum of their own and twice, how many readings are in the checkpoint and nowhere else:
so what is lost where both are damaged is known.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SUFFIX = "-copy"
_HEAD = struct.Struct("<QQIII")
"""Commits, readings, bytes of the state, bytes of all that follows the heads, and their CRC-32."""
_ENTRY = struct.Struct("<QI")


@dataclass(frozen=True, slots=True)
class Kept:
    """A commit: its number, the readings in it, the state's bytes (None: unreadable) and the outbox by sequence."""

    commits: int
    readings: int
    body: bytes | None
    outbox: Mapping[int, bytes]


class Copy:
    """The file beside the checkpoint at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + SUFFIX)
        self._file: int | None = None

    def read(self) -> Kept | None:
        """Return what was written last, None where there is nothing that can be read."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return None
        size = _HEAD.size + 4
        heads = [data[:size], data[size : 2 * size]]
        head = next((one[:-4] for one in heads if len(one) == size and zlib.crc32(one[:-4]) == _number(one[-4:])), None)
        if head is None:
            return None
        commits, readings, body_size, rest_size, crc = _HEAD.unpack(head)
        rest = data[2 * size : 2 * size + rest_size]
        if len(rest) != rest_size or zlib.crc32(rest) != crc:
            return Kept(commits, readings, None, {})
        outbox, at = {}, body_size
        while at < len(rest):
            sequence, length = _ENTRY.unpack_from(rest, at)
            at += _ENTRY.size
            outbox[sequence] = rest[at : at + length]
            at += length
        return Kept(commits, readings, rest[:body_size], outbox)

    def write(self, kept: Kept) -> None:
        """Write over what was there; a disk that refuses it costs the copy, for an old one would be worse than none."""
        body = kept.body or b""
        parts = [body, *(_ENTRY.pack(sequence, len(one)) + one for sequence, one in kept.outbox.items())]
        rest = b"".join(parts)
        head = _HEAD.pack(kept.commits, kept.readings, len(body), len(rest), zlib.crc32(rest))
        head += zlib.crc32(head).to_bytes(4, "little")
        whole = head + head + rest
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.pwrite(self._file, whole, 0) != len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self.close()
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
