"""The checkpoint of version 0.1.0, read once: its state is imported into the journal.

It is an SQLite file with a plain copy, which is used if the SQLite file is damaged.
"""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_components.aggregator import snapshot
from edge_components.aggregator.snapshot import Sent
from edge_components.aggregator.state import State
from edge_components.aggregator.window_types import Arrays, WindowSettings
from wire import codec
from wire.model import Aggregates

NAME = "checkpoint.sqlite3"
_COPY = "-copy"
_FILES = ("", "-wal", "-shm", _COPY)
_VERSIONS = (1, 2)
_STATE_VERSION = 1
_HEAD = struct.Struct("<QQIII")
"""Of the copy: commits, readings, bytes of the state, bytes of all that follows the heads, and their CRC-32."""
_ENTRY = struct.Struct("<QI")
_RENAMED = {
    "clocks_": "watermark_",
    "silence_told": "gap_reported",
    "silence_": "gap_",
    "recent_place": "rows_series_id",
    "recent_": "rows_",
}


class _DamagedError(Exception):
    """The content differs from its checksum."""


@dataclass(frozen=True, slots=True)
class _Found:
    commits: int
    body: bytes
    outbox: Mapping[int, bytes]
    closed: bytes = b""


@dataclass(frozen=True, slots=True)
class ImportedCheckpoint:
    """Outcome of :func:`import_state`; ``lost_readings`` is None where their number cannot be read."""

    sent: Sent
    lost: bool = False
    lost_readings: int | None = 0


def exists(folder: Path) -> bool:
    """Return whether a checkpoint is left in the work folder."""
    return any((folder / (NAME + suffix)).exists() for suffix in ("", _COPY))


def remove(folder: Path) -> None:
    """Remove the checkpoint, and renamed damaged ones."""
    for path in [*(folder / (NAME + suffix) for suffix in _FILES), *folder.glob(f"{NAME}.*.damaged*")]:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def import_state(folder: Path, state: State) -> ImportedCheckpoint:
    """Fill an empty state from the checkpoint, or from its copy where the checkpoint is damaged or behind."""
    path = folder / NAME
    readings, copied = _read_copy(path.with_name(path.name + _COPY))
    found = _read_database(path)
    if found is None or (copied is not None and copied.commits > found.commits):
        found = copied
    if found is None:
        return ImportedCheckpoint(Sent(), lost=True, lost_readings=readings)
    try:
        return ImportedCheckpoint(_fill(state, found))
    except (ValueError, KeyError, TypeError, zlib.error):
        return ImportedCheckpoint(Sent(), lost=True, lost_readings=readings)


def _read_database(path: Path) -> _Found | None:
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=5.0)) as db:
            return _read_tables(db)
    except (sqlite3.DatabaseError, _DamagedError):
        return None


def _read_tables(db: sqlite3.Connection) -> _Found:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in _VERSIONS or db.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
        raise _DamagedError
    row = db.execute("SELECT crc, body FROM state").fetchone()
    if row is None or zlib.crc32(row[1]) != row[0]:
        raise _DamagedError
    outbox = {}
    for sequence, crc, payload in db.execute("SELECT sequence, crc, payload FROM outbox ORDER BY sequence"):
        if zlib.crc32(payload) != crc:
            raise _DamagedError
        outbox[sequence] = bytes(payload)
    if version == 1:
        return _Found(0, row[1], outbox)
    commits = int(db.execute("SELECT number FROM commits").fetchone()[0])
    rows = db.execute("SELECT crc, hashes FROM closed ORDER BY number")
    return _Found(commits, row[1], outbox, b"".join(hashes for crc, hashes in rows if zlib.crc32(hashes) == crc))


def _read_copy(path: Path) -> tuple[int | None, _Found | None]:
    """Return the number of readings in the copy and its content, each None where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return None, None
    size = _HEAD.size + 4
    heads = (data[:size], data[size : 2 * size])
    head = next((one[:-4] for one in heads if len(one) == size and zlib.crc32(one[:-4]) == _number(one[-4:])), None)
    if head is None:
        return None, None
    commits, readings, body_size, rest_size, crc = _HEAD.unpack(head)
    rest = data[2 * size : 2 * size + rest_size]
    if len(rest) != rest_size or zlib.crc32(rest) != crc:
        return readings, None
    outbox, at = {}, body_size
    while at < len(rest):
        sequence, length = _ENTRY.unpack_from(rest, at)
        at += _ENTRY.size
        outbox[sequence] = rest[at : at + length]
        at += length
    return readings, _Found(commits, rest[:body_size], outbox)


def _fill(state: State, found: _Found) -> Sent:
    with np.load(io.BytesIO(zlib.decompress(found.body)), allow_pickle=False) as loaded:
        old = {name: loaded[name] for name in loaded.files}
    facts: dict[str, Any] = json.loads(old.pop("facts").tobytes())
    if facts["version"] != _STATE_VERSION:
        raise ValueError(f"state version {facts['version']}")
    facts |= {"idle_ms": 0, "settings": WindowSettings(width_ms=int(facts["width_ms"])).to_dict()}
    arrays: Arrays = {_renamed(name): array for name, array in old.items()}
    count = len(facts["series"])
    arrays |= {
        "watermark_moved_at": np.zeros(len(arrays["watermark_newest"])),
        # Hashes of that version were made with the number of the series, so it stays the key of these series.
        "series_seed": np.arange(count, dtype=np.uint64),
        "series_received": np.zeros(count, np.int64),
        "closed_hash": np.zeros(0, np.uint32),
        "closed_runs": np.zeros(0, np.int64),
        "sent_sequence": np.array(list(found.outbox), np.int64),
        "sent_size": np.array([len(payload) for payload in found.outbox.values()], np.int64),
        "sent_readings": np.array([_readings_in(payload) for payload in found.outbox.values()], np.int64),
        "sent": np.frombuffer(b"".join(found.outbox.values()), np.uint8),
    }
    sent = snapshot.restore(state, facts, arrays)
    state.deduplicator.remember_closed(np.frombuffer(found.closed, np.uint64))
    return sent


def _renamed(name: str) -> str:
    prefix = next((prefix for prefix in _RENAMED if name.startswith(prefix)), None)
    return name if prefix is None else _RENAMED[prefix] + name.removeprefix(prefix)


def _readings_in(payload: bytes) -> int:
    rows = codec.decode(payload).rows
    return int(rows.count.sum()) if isinstance(rows, Aggregates) else 0


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
