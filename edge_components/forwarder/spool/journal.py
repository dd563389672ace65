"""The spool's redo log: every commit is appended to two files, the first of which is synced; SQLite gets it later.

The first frames are a snapshot, each later one says what a commit changed: rows as they are from then on, not what was
done to them. Both files have the facts and the payloads of every commit since the snapshot. Of the snapshot itself the
second file has the facts only; the database has been written and synced before a snapshot is made.

The files are preallocated and written over in place, so that a sync writes a page or two and no metadata. The file of
the snapshot before the last is used again: its old frames have lower commit numbers and are ignored.
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
"""A snapshot is due when the journal has grown by so much, and to twice the size of its last snapshot."""
PART, SPARE = ".part", ".spare"
_PAGE_BYTES = 4_096
"""Zeros are written page by page: a larger write makes one large folio of the page cache, which is then written as a
whole for each change in it (Linux 6.16 and later on ext4)."""


class Journal:
    """The files beside the spool at ``path``; OSError is raised as it comes."""

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
        """Return True when the next commit needs a snapshot before it."""
        return self._room <= 0

    def append(self, version: StateVersion, changes: list[Change], *, durable: bool) -> None:
        """Append a commit and, if ``durable``, wait until the disk has it and all before it.

        After an OSError the caller must roll the commit back; a snapshot is then due.
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
            self.distrust()
            raise

    def _confirm(self, parts: list[Frame]) -> None:
        """Repeat the facts of a commit in the second file, now as durable ones.

        Without this, the last commit with bits flipped in both files would look like one that a power cut left torn.
        """
        data = b"".join(encode(replace(frame, durable=self._durable), payloads=False) for frame in parts)
        with contextlib.suppress(OSError):  # a confirmation that is not there only leaves that doubt
            _write(self._files[1], data, self._ends[1])
            self._ends[1] += len(data)

    def sync(self) -> None:
        """Wait until the disk has all that was appended."""
        if self._files:
            os.fdatasync(self._files[0])
            return
        # Closed after an error, or of a process before: a snapshot will replace it, so another error does not matter.
        for suffix in SUFFIXES:
            with contextlib.suppress(OSError):
                file = os.open(self._path.with_name(self._path.name + suffix), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)

    def snapshot(self, version: StateVersion, changes: Iterable[Change]) -> None:
        """Begin the files anew with everything that the database holds, which must be synced."""
        self.distrust()
        parts = frames(version, list(changes), base=True, durable=version.commits)
        room = 0
        for suffix, payloads in zip(SUFFIXES, (True, False), strict=True):
            data = b"".join(encode(frame, payloads=payloads) for frame in parts)
            room = room or max(GROWTH_BYTES, len(data))
            self._files.append(self._begin(suffix, data, room, sync=payloads))
            self._ends.append(len(data))
        self._spares = True
        self._durable, self._before, self._room = version.commits, None, room

    def distrust(self) -> None:
        """Close the files; a snapshot is due before the next commit."""
        while self._files:
            os.close(self._files.pop())
        self._ends.clear()
        self._room, self._before = 0, None

    close = distrust

    def _begin(self, suffix: str, data: bytes, room: int, *, sync: bool) -> int:
        """Put a preallocated file that begins with ``data`` in the place of the present one, and return it open."""
        path = self._path.with_name(self._path.name + suffix)
        part, spare = (path.with_name(path.name + end) for end in (PART, SPARE))
        if not self._spares:  # one of another process may hold frames of another epoch
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
    """Write zeros up to ``size``; a disk that has no room for them is left as it is."""
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
