"""An object of an object store as a file for reading, by requests for ranges of its bytes."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod

AHEAD = 64 * 1024
"""Least number of bytes of a request: a reader of Parquet begins with small reads at the end of the file."""


class RangedFile(io.RawIOBase, ABC):
    """An object of ``size`` bytes. Raises StoreError when it cannot be read, and if it was replaced meanwhile."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._at, self._begin, self._content = 0, 0, b""

    @abstractmethod
    def request(self, begin: int, end: int) -> bytes:
        """Return the bytes in [begin, end), by one request; raises StoreError."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer only at the end."""
        end = self._size if size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        if not (self._begin <= self._at and end <= self._begin + len(self._content)):
            self._fetch(self._at, end)
        content = self._content[self._at - self._begin : end - self._begin]
        self._at = end
        return content

    def _fetch(self, begin: int, end: int) -> None:
        # The last bytes are read together.
        begin = max(0, min(begin, self._size - AHEAD)) if end == self._size else begin
        end = min(self._size, max(end, begin + AHEAD))
        self._begin, self._content = begin, self.request(begin, end)
