"""The aggregator's memory on disk (SQLite, WAL, synchronous=FULL), so that killing it loses nothing it acknowledged.

One commit holds three things that must agree: the open windows, which batches of readings are in them, and the batches
of aggregates that the forwarder does not hold yet. Only after it are readings acknowledged and aggregates sent.
"""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.common.errors import EdgeError

SCHEMA_VERSION = 1
Arrays = Mapping[str, npt.NDArray[np.generic]]

_SCHEMA = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, crc INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;
"""


class CheckpointError(EdgeError):
    """The checkpoint cannot be opened or written: names the file and what SQLite said."""


@dataclass(frozen=True, slots=True)
class State:
    """What a restart needs: arrays by name, and facts that JSON can hold."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Saved:
    """What was found: the state (None for a new or damaged one) and the outbox by sequence number."""

    state: State | None
    outbox: Mapping[int, bytes]
    damaged: bool = False


class Checkpoint:
    """The file; every method raises CheckpointError."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = connection, path

    @classmethod
    def open(cls, path: Path, wall_ms: int) -> tuple[Checkpoint, Saved]:
        """Open or make the file; one that is damaged is moved aside whole (``.damaged``) and a new one begun."""
        try:
            checkpoint = cls(_connect(path), path)
            try:
                return checkpoint, checkpoint._load()
            except BaseException:
                checkpoint.close()
                raise
        except sqlite3.OperationalError as error:
            raise CheckpointError(f"checkpoint {path}: {error}") from error
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, zlib.error):
            _move_aside(path, wall_ms)
        try:
            return cls(_connect(path), path), Saved(None, {}, damaged=True)
        except sqlite3.DatabaseError as error:
            raise CheckpointError(f"checkpoint {path}: {error}") from error

    def save(self, state: State, added: Iterable[tuple[int, bytes]], freed: Iterable[int]) -> None:
        """Write the state and what changed in the outbox, in one commit."""
        body = _encode(state)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?)", (zlib.crc32(body), body))
                self._db.executemany(
                    "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)",
                    [(sequence, zlib.crc32(payload), payload) for sequence, payload in added],
                )
                self._db.executemany("DELETE FROM outbox WHERE sequence = ?", [(sequence,) for sequence in freed])
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.DatabaseError):  # SQLite may have rolled back by itself (disk full)
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            raise CheckpointError(f"checkpoint {self._path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _load(self) -> Saved:
        row = self._db.execute("SELECT crc, body FROM state").fetchone()
        state = None
        if row is not None:
            if zlib.crc32(row[1]) != row[0]:
                raise ValueError("the state's bytes changed on the disk")
            state = _decode(row[1])
        outbox = {}
        for sequence, crc, payload in self._db.execute("SELECT sequence, crc, payload FROM outbox ORDER BY sequence"):
            if zlib.crc32(payload) != crc:
                raise ValueError(f"batch {sequence} changed on the disk")
            outbox[sequence] = bytes(payload)
        return Saved(state, outbox)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise CheckpointError(f"checkpoint {path}: schema {version}, this aggregator knows {SCHEMA_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _move_aside(path: Path, wall_ms: int) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name(f"{path.name}.{wall_ms}.damaged{suffix}"))


def _encode(state: State) -> bytes:
    facts = np.frombuffer(json.dumps(state.facts).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, facts=facts, **state.arrays)
    return zlib.compress(buffer.getvalue(), 1)


def _decode(body: bytes) -> State:
    with np.load(io.BytesIO(zlib.decompress(body)), allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in arrays.files if name != "facts"}
        return State(json.loads(arrays["facts"].tobytes()), columns)
