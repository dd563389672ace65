"""How far the spool has come, noted beside it, so that one that went back is known.

Written after each commit and never waited for: on the disk it may be behind the spool, and never ahead of it. A spool
that is behind its mark has lost something that was committed, and perhaps acted upon.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path

_FORM = struct.Struct("<QQI")
SUFFIX = "-mark"


class Mark:
    """The file beside a spool: its epoch and the number of commits in it."""

    def __init__(self, spool: Path) -> None:
        path = spool.with_name(spool.name + SUFFIX)
        self._file: int | None = None
        for how in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):  # the second for a disk that is read-only just now
            with contextlib.suppress(OSError):
                self._file = os.open(path, how | os.O_CLOEXEC, 0o600)
                break

    def read(self) -> tuple[int, int] | None:
        """Return epoch and commits, None where nothing readable was noted."""
        raw = os.pread(self._file, _FORM.size, 0) if self._file is not None else b""
        if len(raw) != _FORM.size:
            return None
        epoch, commits, crc = _FORM.unpack(raw)
        return (epoch, commits) if crc == zlib.crc32(raw[:-4]) else None

    def write(self, epoch: int, commits: int) -> None:
        """Note how far the spool is; a disk that refuses it costs only what it would have told."""
        raw = struct.pack("<QQ", epoch, commits)
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            os.pwrite(self._file, raw + zlib.crc32(raw).to_bytes(4, "little"), 0)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
