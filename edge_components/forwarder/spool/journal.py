"""Redo log of the spool: each commit is appended to two files, the first of which is synced.

The first frames are a snapshot; each later one holds the state of the rows that a commit changed. Both files have the
metadata and payloads of all commits since the snapshot. The second file has only the metadata of the snapshot itself,
because the database was written and synced before it.

The files are preallocated and overwritten in place, so that a sync writes a page or two and no file-system metadata.
The files of the snapshot before the last one are reused: their frames have lower commit numbers and are ignored.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edge_components.common.files import sync_folder
from edge_components.forwarder.spool.frames import Change, Frame, StateVersion, encode, frames

SUFFIXES = ("-journal-a", "-journal-b")
GROWTH_BYTES = 1_000_000
"""A snapshot is due when the journal has grown by this much and to twice the size of its last snapshot."""
PART, SPARE = ".part", ".spare"
_PAGE_BYTES = 4_096
"""Zeros are written page by page: a larger write creates a large folio in the page cache, which the kernel writes as a
whole for each change in it (Linux 6.16 and later on ext4)."""


class Journal:
    """Journal of the spool at ``path``; methods that access the files raise OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: list[int] = []
        self._ends: list[int] = []
        self._room = 0
        self._durable = 0
        self._before: Frame | None = None
        self._spares = False

    @property
    def snapshot_due(self) -> bool:
        """True if a snapshot must precede the next commit."""
        return self._room <= 0

    def append(self, version: StateVersion, changes: list[Change], *, durable: bool) -> None:
        """Append a commit and, if ``durable``, sync it and all previous ones.

        After an OSError the caller must roll the commit back, and a snapshot is due.
        """
        try:
            parts = frames(version, changes, base=False, durable=self._durable)
            data = b"".join(encode(frame, self._before) for frame in parts)
            self._room -= len(data)
            for at, file in enumerate(self._files):
                _write(file, data, self._ends[at])
                self._ends[at] += len(data)
            self._before = parts[0] if len(parts) == 1 else None
            if durable:
                os.fdatasync(self._files[0])
                self._durable = version.commits
                self._confirm(parts)
        except BaseException:
            self.invalidate()
            raise

    def _confirm(self, parts: list[Frame]) -> None:
        """Repeat the metadata of a commit in the second file, marked as durable.

        Otherwise the last commit, if damaged in both files, could not be distinguished from one torn by a power cut.
        """
        data = b"".join(encode(replace(frame, durable=self._durable), payloads=False) for frame in parts)
        with contextlib.suppress(OSError):  # without it only that distinction is missing
            _write(self._files[1], data, self._ends[1])
            self._ends[1] += len(data)

    def sync(self) -> None:
        """Sync everything that was appended."""
        if self._files:
            os.fdatasync(self._files[0])
            return
        # Closed after an error, or not opened yet: a snapshot will replace the files, so errors are ignored.
        for suffix in SUFFIXES:
            with contextlib.suppress(OSError):
                file = os.open(self._path.with_name(self._path.name + suffix), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)

    def snapshot(self, version: StateVersion, changes: Iterable[Change]) -> None:
        """Begin both files with the content of the database, which must have been synced."""
        self.invalidate()
        parts = frames(version, list(changes), base=True, durable=version.commits)
        room = 0
        for suffix, payloads in zip(SUFFIXES, (True, False), strict=True):
            data = b"".join(encode(frame, payloads=payloads) for frame in parts)
            room = room or max(GROWTH_BYTES, len(data))
            self._files.append(self._begin(suffix, data, room, sync=payloads))
            self._ends.append(len(data))
        self._spares = True
        self._durable, self._before, self._room = version.commits, None, room

    def invalidate(self) -> None:
        """Close the files; a snapshot must precede the next commit."""
        while self._files:
            os.close(self._files.pop())
        self._ends.clear()
        self._room, self._before = 0, None

    close = invalidate

    def _begin(self, suffix: str, data: bytes, room: int, *, sync: bool) -> int:
        """Replace a file by a preallocated one that begins with ``data`` and return its descriptor."""
        path = self._path.with_name(self._path.name + suffix)
        part, spare = (path.with_name(path.name + end) for end in (PART, SPARE))
        if not self._spares:  # another process may have left frames of another epoch
            part.unlink(missing_ok=True)
            spare.unlink(missing_ok=True)
        elif spare.exists():
            spare.replace(part)
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write(file, data, 0)
            _preallocate(file, len(data) + room)
            if sync:
                os.fsync(file)
            with contextlib.suppress(FileNotFoundError):
                path.replace(spare)
            part.replace(path)
            if sync:
                sync_folder(path.parent)
        except BaseException:
            os.close(file)
            raise
        return file


def _preallocate(file: int, size: int) -> None:
    """Write zeros up to ``size``; on a full disk the file keeps its size."""
    before = at = os.fstat(file).st_size
    try:
        while at < size:
            block = bytes(min(_PAGE_BYTES, size - at))
            _write(file, block, at)
            at += len(block)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.ftruncate(file, before)


def _write(file: int, data: bytes, at: int) -> None:
    if os.pwrite(file, data, at) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
