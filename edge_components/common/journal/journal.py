"""The journal itself: a buffer of records, and the order in which bytes reach the disk.

Frames go to a *segment*: a main file, written and synced at each commit, and a replica, written after that and never
synced, so that the kernel merges its pages. Segments are preallocated and reused in turn: a commit then writes the
pages of its frame and no metadata. A snapshot begins the next segment; the segment before it stays whole until the
snapshot after that.
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
"""Segments grow by this much."""

_NAME = "segment-"
_REPLICA = "-replica"


class JournalError(EdgeError):
    """The journal cannot be written: names the folder and the system's reason. Nothing buffered is lost; try again."""


class Journal:
    """Records in order, durable after :meth:`commit`."""

    def __init__(self, storage: Storage, position: Position, where: str) -> None:
        self._storage, self._where = storage, where
        self._segment, self._offset = position.segment, position.offset
        self._sequence, self._total = position.sequence, position.total
        self._needed, self._repairs = set(position.needed), list(position.repairs)
        self._snapshot_size, self._size, self._records = position.base_bytes, position.replay_bytes, position.records
        self._buffer: list[Record] = []
        self._buffered = self._weight = 0
        self._allocated: dict[int, int] = {}
        self._synced = position.sequence == 0 and position.offset == 0
        self.replica_failures = 0

    @classmethod
    def open(cls, folder: Path, storage: Storage | None = None) -> tuple[Journal, Recovered]:
        """Read what the folder holds. Never fails: what cannot be read is damage, a disk that refuses fails commits."""
        storage = storage or FileStorage(folder)
        recovered, position = recover(_images(storage))
        return cls(storage, position, str(folder)), recovered

    @property
    def uncommitted_bytes(self) -> int:
        """Bytes of the records that wait for :meth:`commit`."""
        return self._buffered

    @property
    def durable(self) -> bool:
        """Whether everything appended, and everything recovered, is on the disk: it may be acted on."""
        return self._synced and not self._buffer

    @property
    def size(self) -> int:
        """Bytes written since the snapshot, which a start has to replay."""
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
        """Add a record to the buffer; ``weight`` is counted as lost should it be damaged in both images."""
        self._buffer.append(Record(kind, body))
        self._buffered += len(body)
        self._weight += weight

    def commit(self) -> None:
        """Write and sync what is buffered; raises JournalError, and keeps it, where the disk refuses."""
        with self._refusals():
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
        self._buffer, self._buffered, self._weight = [], 0, 0

    def snapshot(self, body: bytes, weight: int = 0) -> None:
        """Commit, then replace all records so far by ``body``, the state with all of them applied.

        ``weight`` is what is lost should the snapshot be damaged in both images. Raises JournalError; the records, and
        the snapshot before, stay in force until the new one is on the disk.
        """
        self.commit()
        data = frame.encode(body, self._sequence, self._total, weight, snapshot=True)
        segment = next(number for number in range(len(self._needed) + 1) if number not in self._needed)
        with self._refusals():
            self._write(segment, 0, data, shorten=True)
        self._replicate(segment, 0, data)
        self._segment, self._offset = segment, len(data)
        self._snapshot_size, self._size, self._records = len(data), 0, 0
        self._needed = {segment}
        self._remove_spare()

    def close(self) -> None:
        """Close the files; what is not committed is gone."""
        self._storage.close()

    def _settle(self) -> None:
        """Make durable what was recovered: a killed process may have left it in the system's cache only."""
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
        """Have room for ``size`` bytes; a segment that was much larger once is shortened when it is begun anew."""
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
        try:
            self._storage.write(_name(segment) + _REPLICA, offset, data)
        except OSError:  # the frame is on the disk once: that is what was promised to senders
            self.replica_failures += 1

    def _remove_spare(self) -> None:
        """Remove segments beyond the usual two; a third is begun only where damage made both of them needed."""
        with contextlib.suppress(OSError):
            for name in self._storage.names():
                number = _number(name)
                if number is not None and number > 1 and number not in self._needed:
                    self._storage.remove(name)
                    self._allocated.pop(number, None)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
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
    """Return the main and replica image of each segment; a file that cannot be read counts as empty."""
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
