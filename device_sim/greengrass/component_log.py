"""Size-limited log file for the output of a component's scripts."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 10 * 1024 * 1024
KEPT = 2
"""Number of files per component: the current one and older ones (``.1``)."""


class ComponentLog:
    """Log file that is rotated at the end of a line when it is full."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self._path, self._max_bytes, self._kept = path, max_bytes, kept
        self._file: BinaryIO = path.open("ab")
        self._size = path.stat().st_size

    def write(self, data: bytes) -> None:
        """Append."""
        if self._size + len(data) > self._max_bytes and self._size:
            end = data.rfind(b"\n") + 1
            self._append(data[:end])
            self._rotate()
            data = data[end:]
        self._append(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        self._size += len(data)

    def _rotate(self) -> None:
        self._file.close()
        for age in range(self._kept - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{age}")
            newer = self._path if age == 1 else self._path.with_name(f"{self._path.name}.{age - 1}")
            if newer.exists():
                newer.replace(older)
        self._file = self._path.open("wb")
        self._size = 0
