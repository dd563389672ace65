"""Operations of the aggregator's state as records of the journal. Pure.

Every change of the state is one operation, so that a replay gives the same state. The readings of all batches of a
commit are packed together (readings_log.py), in a record before the operations that refer to them in order.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from edge_components.aggregator.cleaning import Columns
from edge_components.aggregator.readings_log import ReadingsPacker
from edge_components.aggregator.window_types import WindowSettings
from wire.model import Series

_BATCH = struct.Struct("<QQqqB")
_NUMBER = struct.Struct("<q")
_SEQUENCES = struct.Struct("<Q")


class Kind(IntEnum):
    """Kinds of records; the numbers are part of the format."""

    READINGS = 1
    BATCH = 2
    CLOSE = 3
    SERIES = 4
    SETTINGS = 5
    EMITTED = 6
    FREED = 7
    SKIPPED = 8
    STARTED = 9
    EMITTED_LATE = 10
    SKIPPED_LATE = 11
    CLEANED_UP = 12
    ENDED = 13


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was accepted; its readings are the next ones of the READINGS record before it."""

    epoch: int
    sequence: int
    wall_ms: int
    idle_ms: int
    deduplicate: bool
    graded: bool = True
    """False in records of the first version, whose readings of bad quality are used."""

    def encode(self) -> bytes:
        """Return the record's body."""
        return _BATCH.pack(self.epoch, self.sequence, self.wall_ms, self.idle_ms, self.deduplicate | 2 * self.graded)

    @classmethod
    def decode(cls, body: bytes) -> Batch:
        """Return the operation of a record's body."""
        epoch, sequence, wall_ms, idle_ms, flags = _BATCH.unpack(body)
        return cls(epoch, sequence, wall_ms, idle_ms, bool(flags & 1), bool(flags & 2))


@dataclass(frozen=True, slots=True)
class Entry:
    """A record for the journal; ``weight`` is the number of readings in it."""

    kind: Kind
    body: bytes
    weight: int = 0


class OperationLog:
    """Operations since the last commit."""

    def __init__(self) -> None:
        self._packer = ReadingsPacker()
        self._entries: list[Entry] = []
        self._batches: list[Columns] = []
        self.waiting = False
        """True if a sender waits for these operations to be durable: readings to acknowledge, or a batch to send."""
        self.emitted = False
        """True if they include a batch to send."""
        self.readings = 0
        self.recording = True
        """False during a replay, whose operations are in the journal already."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def changed(self) -> bool:
        """Return whether there is any operation besides the start, which the next start repeats."""
        return any(entry.kind is not Kind.STARTED for entry in self._entries)

    def add(self, kind: Kind, body: bytes) -> None:
        """Append an operation."""
        if not self.recording:
            return
        self._entries.append(Entry(kind, body))
        if kind in (Kind.EMITTED, Kind.EMITTED_LATE):
            self.emitted = self.waiting = True

    def add_batch(self, batch: Batch, columns: Columns) -> None:
        """Append an accepted batch with its usable readings."""
        if not self.recording:
            return
        self._entries.append(Entry(Kind.BATCH, batch.encode()))
        self._batches.append(columns)
        self.readings += len(columns)
        self.waiting = True

    def take(self) -> list[Entry]:
        """Remove and return all operations as records."""
        packed: list[Entry] = []
        if self._batches:
            packed.append(Entry(Kind.READINGS, self._packer.pack(self._batches), self.readings))
        entries = packed + self._entries
        self._entries, self._batches, self.readings = [], [], 0
        self.waiting = self.emitted = False
        return entries


def number(value: int) -> bytes:
    """Return the body of an operation that has one number."""
    return _NUMBER.pack(value)


def read_number(body: bytes) -> int:
    """Return the number of :func:`number`."""
    return int(_NUMBER.unpack(body)[0])


def sequences(numbers: Iterable[int]) -> bytes:
    """Return the body of FREED, sequence numbers that the forwarder acknowledged, or of ENDED, ids of series."""
    return b"".join(map(_SEQUENCES.pack, numbers))


def read_sequences(body: bytes) -> Iterator[int]:
    """Return the numbers of :func:`sequences`."""
    return (number for (number,) in _SEQUENCES.iter_unpack(body))


def emitted(rows: int, payload: bytes) -> bytes:
    """Return the body of EMITTED or EMITTED_LATE: a batch with the first ``rows`` of the pending aggregates."""
    return _NUMBER.pack(rows) + payload


def read_emitted(body: bytes) -> tuple[int, bytes]:
    """Return the rows and payload of :func:`emitted`."""
    return read_number(body[: _NUMBER.size]), body[_NUMBER.size :]


def series(series_id: int, one: Series) -> bytes:
    """Return the body of SERIES: a series under its id."""
    return json.dumps([series_id, one.name, one.unit, one.resolution]).encode()


def read_series(body: bytes) -> tuple[int, Series]:
    """Return the id and series of :func:`series`."""
    series_id, name, unit, resolution = json.loads(body)
    return int(series_id), Series(name, unit, resolution)


def settings(value: WindowSettings) -> bytes:
    """Return the body of SETTINGS: the rules that windows follow from here on."""
    return json.dumps(value.to_dict()).encode()


def read_settings(body: bytes) -> WindowSettings:
    """Return the settings of :func:`settings`."""
    return WindowSettings.from_dict(json.loads(body))
