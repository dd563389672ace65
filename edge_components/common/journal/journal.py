"""Journal: a buffer of records, and the order of writes to the disk.

Frames are written to a *segment*: a main file, synced at each commit, and a replica, written after that without a sync,
so that the kernel merges its pages. Segments are preallocated and reused in turn, so that a commit writes the pages of
its frame and no file-system metadata. A snapshot begins the next segment; the previous segment is kept until the next
snapshot.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edge_components.common.errors import EdgeError
from edge_components.common.journal import frame
from edge_components.common.journal.frame import Record
from edge_components.common.journal.recovery import Position, Recovered, recover
from edge_components.common.journal.storage import FileStorage, Storage

CHUNK_BYTES = 262_144
"""Step by which segments grow."""

_NAME = "segment-"
_REPLICA = "-replica"


class JournalError(EdgeError):
    """The journal cannot be written; names the folder and the system's reason. Buffered records are kept."""


class Journal:
    """Ordered records, durable after :meth:`commit`."""

    def __init__(self, storage: Storage, position: Position, where: str) -> None:
        self._storage, self._where = storage, where
        self._segment, self._offset = position.segment, position.offset
        self._sequence, self._total = position.sequence, position.total
        self._needed, self._repairs = set(position.needed), list(position.repairs)
        self._snapshot_size, self._size, self._records = position.base_bytes, position.replay_bytes, position.records
        self._buffer: list[Record] = []
        self._weight = 0
        self._allocated: dict[int, int] = {}
        self._synced = position.sequence == 0 and position.offset == 0

    @classmethod
    def open(cls, folder: Path, storage: Storage | None = None) -> tuple[Journal, Recovered]:
        """Read the journal in a folder. Does not raise: unreadable files are damage, and disk errors fail commits."""
        storage = storage or FileStorage(folder)
        recovered, position = recover(_images(storage))
        return cls(storage, position, str(folder)), recovered

    @property
    def durable(self) -> bool:
        """True if all appended and recovered records are on the disk."""
        return self._synced and not self._buffer

    @property
    def size(self) -> int:
        """Bytes since the snapshot, which are replayed at the start."""
        return self._size

    @property
    def records(self) -> int:
        """Records since the snapshot, committed or not."""
        return self._records + len(self._buffer)

    @property
    def snapshot_size(self) -> int:
        """Bytes of the snapshot."""
        return self._snapshot_size

    def append(self, kind: int, body: bytes, weight: int = 0) -> None:
        """Add a record to the buffer; ``weight`` is the loss if it is damaged in both images."""
        self._buffer.append(Record(kind, body))
        self._weight += weight

    def commit(self) -> None:
        """Write and sync the buffered records; raises JournalError and keeps them if the disk fails."""
        with self._translated_errors():
            self._settle()
            if not self._buffer:
                return
            total = self._total + self._weight
            data = frame.encode(frame.pack_records(self._buffer), self._sequence + 1, total, self._weight)
            self._write(self._segment, self._offset, data)
        self._sequence, self._total = self._sequence + 1, total
        self._replicate(self._segment, self._offset, data)
        self._offset, self._size = self._offset + len(data), self._size + len(data)
        self._records += len(self._buffer)
        self._buffer, self._weight = [], 0

    def snapshot(self, body: bytes, weight: int = 0) -> None:
        """Commit, then replace all records by ``body``, the state after them.

        ``weight`` is the loss if the snapshot is damaged in both images. Raises JournalError; the previous snapshot and
        the records are valid until the new snapshot is on the disk.
        """
        self.commit()
        data = frame.encode(body, self._sequence, self._total, weight, snapshot=True)
        segment = next(number for number in range(len(self._needed) + 1) if number not in self._needed)
        with self._translated_errors():
            self._write(segment, 0, data, shorten=True)
        self._replicate(segment, 0, data)
        self._segment, self._offset = segment, len(data)
        self._snapshot_size, self._size, self._records = len(data), 0, 0
        self._needed = {segment}
        self._remove_spare()

    def close(self) -> None:
        """Close the files; uncommitted records are lost."""
        self._storage.close()

    def _settle(self) -> None:
        """Sync the recovered content: a killed process may have left it in the page cache only."""
        if self._synced:
            return
        for repair in self._repairs:
            size = repair.offset + len(repair.data)
            self._allocate(repair.segment, size, shorten=False)
            if not repair.replica:
                self._storage.write(_name(repair.segment), repair.offset, repair.data)
        for number in sorted(self._needed):
            self._allocate(number, 0, shorten=False)
            self._storage.sync(_name(number))
        for repair in self._repairs:
            if repair.replica:
                self._replicate(repair.segment, repair.offset, repair.data)
        self._repairs, self._synced = [], True

    def _write(self, segment: int, offset: int, data: bytes, *, shorten: bool = False) -> None:
        self._allocate(segment, offset + len(data), shorten=shorten)
        self._storage.write(_name(segment), offset, data)
        self._storage.sync(_name(segment))

    def _allocate(self, segment: int, size: int, *, shorten: bool) -> None:
        """Allocate ``size`` bytes; shorten a much larger segment when it is reused."""
        present = self._allocated.get(segment)
        if present is None:
            present = min(self._storage.size(_name(segment)), self._storage.size(_name(segment) + _REPLICA))
        wanted = -(-max(size, 1) // CHUNK_BYTES) * CHUNK_BYTES
        if wanted > present or (shorten and present > 4 * wanted + 16 * CHUNK_BYTES):
            self._storage.allocate(_name(segment), wanted)
            with contextlib.suppress(OSError):
                self._storage.allocate(_name(segment) + _REPLICA, wanted)
            present = wanted
        self._allocated[segment] = present

    def _replicate(self, segment: int, offset: int, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the synced main file suffices for an acknowledgement
            self._storage.write(_name(segment) + _REPLICA, offset, data)

    def _remove_spare(self) -> None:
        """Remove segments beyond the usual two; a third one is created only if damage made both of them necessary."""
        with contextlib.suppress(OSError):
            for name in self._storage.names():
                number = _number(name)
                if number is not None and number > 1 and number not in self._needed:
                    self._storage.remove(name)
                    self._allocated.pop(number, None)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalError(f"journal {self._where}: {error.strerror or error}") from error


def _name(segment: int) -> str:
    return f"{_NAME}{segment}"


def _number(name: str) -> int | None:
    digits = name.removeprefix(_NAME).removesuffix(_REPLICA)
    return int(digits) if name.startswith(_NAME) and digits.isdecimal() and len(digits) < 4 else None


def _images(storage: Storage) -> dict[int, tuple[bytes, bytes]]:
    """Return main and replica image of each segment; an unreadable file counts as empty."""
    names = _listed(storage)
    numbers = sorted({number for name in names if (number := _number(name)) is not None})
    return {number: (_read(storage, _name(number)), _read(storage, _name(number) + _REPLICA)) for number in numbers}


def _listed(storage: Storage) -> list[str]:
    try:
        return storage.names()
    except OSError:
        return []


def _read(storage: Storage, name: str) -> bytes:
    try:
        return storage.read(name)
    except OSError:
        return b""
