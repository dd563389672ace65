"""Files of a journal: the port, and its implementation on the file system."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Protocol

from edge_components.common.files import sync_folder


class Storage(Protocol):
    """Port for files of a folder, by name. Every method may raise OSError."""

    def names(self) -> list[str]:
        """Return the names of the existing files; an empty list without a folder."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""

    def size(self, name: str) -> int:
        """Return a file's size, 0 if it does not exist."""

    def allocate(self, name: str, size: int) -> None:
        """Create a file durably, with ``size`` bytes allocated on the disk, so that writes do not need space."""

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Overwrite bytes of an allocated file."""

    def sync(self, name: str) -> None:
        """Wait until all writes to the file are on the disk."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def close(self) -> None:
        """Close all files."""


class FileStorage:
    """Files of a folder on the disk, opened at their first write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}

    def names(self) -> list[str]:
        """Return the names of the files that exist."""
        try:
            return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_file())
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return (self._folder / name).read_bytes()

    def size(self, name: str) -> int:
        """Return a file's size."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return 0

    def allocate(self, name: str, size: int) -> None:
        """Make the file ``size`` bytes long with allocated blocks; shorten a longer one."""
        file = self._file(name)
        present = os.fstat(file).st_size
        if present > size:
            os.ftruncate(file, size)
        elif present < size:
            try:
                os.posix_fallocate(file, present, size - present)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
                os.ftruncate(file, size)

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write all of ``data``."""
        file, view = self._file(name), memoryview(data)
        while view:
            written = os.pwrite(file, view, offset)
            offset, view = offset + written, view[written:]

    def sync(self, name: str) -> None:
        """Wait until all writes to the file are on the disk."""
        os.fdatasync(self._file(name))

    def remove(self, name: str) -> None:
        """Remove a file."""
        if (file := self._files.pop(name, None)) is not None:
            os.close(file)
        (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            with contextlib.suppress(OSError):
                os.close(file)
        self._files.clear()

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / name
            new = not path.exists()
            self._files[name] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if new:
                sync_folder(self._folder)
        return self._files[name]
