"""The aggregator's memory on disk (SQLite, WAL, synchronous=FULL), so that killing it loses nothing it acknowledged.

One commit holds three things that must agree: the open windows, which batches of readings are in them, and the batches
of aggregates that the forwarder does not hold yet. Only after it are readings acknowledged and aggregates sent.

Beside it lies a copy of the same (copy.py), so that bits that change in one of the two cost nothing. The commits are
counted: a flipped bit in SQLite's log can take the last ones back without a word, and the copy knows of them.
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

from edge_components.aggregator.copy import Copy, Kept
from edge_components.aggregator.recent import MAX_CLOSED
from edge_components.common.errors import EdgeError
from edge_components.common.schema import made_by

SCHEMA_VERSION = 2
Arrays = Mapping[str, npt.NDArray[np.generic]]

_SCHEMA = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, crc INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;
"""
_SCHEMA_2 = """
CREATE TABLE commits (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL) STRICT;
INSERT INTO commits VALUES (1, 0);
-- Hashes of readings whose windows have closed, by the commit that set them aside.
CREATE TABLE closed (number INTEGER PRIMARY KEY, crc INTEGER NOT NULL, hashes BLOB NOT NULL) STRICT;
"""

MAX_CLOSED_BYTES = 8 * MAX_CLOSED
_FORGET_CLOSED = """
DELETE FROM closed WHERE number <= (
    SELECT number FROM (SELECT number, sum(length(hashes)) OVER (ORDER BY number DESC) AS total FROM closed)
    WHERE total > ? ORDER BY number DESC LIMIT 1)
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
    """What was found: the state (None for a new or damaged one) and the outbox by sequence number.

    ``damaged`` tells that the checkpoint was; ``lost`` that its copy could not stand for it. ``held_readings`` are then
    those that were in it, None where even that cannot be read.
    """

    state: State | None
    outbox: Mapping[int, bytes]
    closed: bytes = b""
    damaged: bool = False
    lost: bool = False
    held_readings: int | None = None


class Checkpoint:
    """The file; every method raises CheckpointError."""

    def __init__(self, connection: sqlite3.Connection, path: Path, copy: Copy) -> None:
        self._db, self._path, self._copy = connection, path, copy
        self._commits = int(connection.execute("SELECT number FROM commits").fetchone()[0])
        self._outbox: dict[int, bytes] = {}

    @classmethod
    def open(cls, path: Path, wall_ms: int) -> tuple[Checkpoint, Saved]:
        """Open or make the file; one that is damaged is moved aside whole (``.damaged``) and its copy taken for it."""
        copy = Copy(path)
        kept = copy.read()
        try:
            checkpoint = cls(_connect(path, known=kept is not None), path, copy)
            try:
                saved = checkpoint._load()
                checkpoint._compare(kept)
            except BaseException:
                checkpoint.close()
                raise
            return checkpoint, saved
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # that is: a schema that names other tables
                raise CheckpointError(f"checkpoint {path}: {error}") from error
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, zlib.error, OverflowError):
            pass
        _move_aside(path, wall_ms)
        try:
            checkpoint = cls(_connect(path, known=False), path, copy)
        except sqlite3.DatabaseError as error:
            raise CheckpointError(f"checkpoint {path}: {error}") from error
        saved = _from_copy(kept)
        if kept is not None and not saved.lost:
            checkpoint._take_over(kept)
        return checkpoint, saved

    def save(
        self,
        state: State,
        added: Iterable[tuple[int, bytes]],
        freed: Iterable[int],
        *,
        readings: int = 0,
        closed: bytes = b"",
    ) -> None:
        """Write the state and what changed in the outbox, in one commit.

        ``readings`` are in it and nowhere else; ``closed`` are the hashes set aside since the last commit.
        """
        added, freed = list(added), list(freed)
        body = _encode(state)
        self._write(body, added, freed, self._commits + 1, closed)
        self._outbox.update(added)
        for sequence in freed:
            self._outbox.pop(sequence, None)
        self._copy.write(Kept(self._commits, readings, body, self._outbox))

    def _compare(self, kept: Kept | None) -> None:
        """Raise ValueError where the copy shows that this file is not what it was; bring a copy that is behind up.

        What is told from here on is this file's, and an older copy must not stand for it later.
        """
        if kept is not None and kept.commits > self._commits:
            raise ValueError(f"it went back from commit {kept.commits} to {self._commits}")
        if kept is not None and kept.commits == self._commits and kept.body is not None:
            if kept.outbox != self._outbox:
                raise ValueError("its batches are not those of its copy")
            return
        row = self._db.execute("SELECT body FROM state").fetchone()
        if row is not None:
            self._copy.write(Kept(self._commits, kept.readings if kept is not None else 0, row[0], self._outbox))

    def _take_over(self, kept: Kept) -> None:
        self._write(kept.body or b"", list(kept.outbox.items()), [], kept.commits)
        self._outbox = dict(kept.outbox)

    def _write(
        self, body: bytes, added: list[tuple[int, bytes]], freed: list[int], commits: int, closed: bytes = b""
    ) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?)", (zlib.crc32(body), body))
                self._db.executemany(
                    "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)",
                    [(sequence, zlib.crc32(payload), payload) for sequence, payload in added],
                )
                self._db.executemany("DELETE FROM outbox WHERE sequence = ?", [(sequence,) for sequence in freed])
                if closed:
                    self._db.execute("INSERT INTO closed VALUES (?, ?, ?)", (commits, zlib.crc32(closed), closed))
                    self._db.execute(_FORGET_CLOSED, (MAX_CLOSED_BYTES,))
                self._db.execute("UPDATE commits SET number = ?", (commits,))
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.DatabaseError):  # SQLite may have rolled back by itself (disk full)
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            raise CheckpointError(f"checkpoint {self._path}: {error}") from error
        self._commits = commits

    def close(self) -> None:
        """Close the files."""
        self._db.close()
        self._copy.close()

    def _load(self) -> Saved:
        if (verdict := self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise ValueError(f"damaged: {verdict}")
        row = self._db.execute("SELECT crc, body FROM state").fetchone()
        state = None
        if row is None and self._commits:
            raise ValueError("it has no state")
        if row is not None:
            if zlib.crc32(row[1]) != row[0]:
                raise ValueError("the state's bytes changed on the disk")
            state = _decode(row[1])
        outbox = {}
        for sequence, crc, payload in self._db.execute("SELECT sequence, crc, payload FROM outbox ORDER BY sequence"):
            if zlib.crc32(payload) != crc:
                raise ValueError(f"batch {sequence} changed on the disk")
            outbox[sequence] = bytes(payload)
        self._outbox = dict(outbox)
        # They only tell a repetition from what is late: of those that are damaged, nobody needs to hear.
        rows = self._db.execute("SELECT crc, hashes FROM closed ORDER BY number")
        closed = b"".join(hashes for crc, hashes in rows if zlib.crc32(hashes) == crc)
        return Saved(state, outbox, closed)


def _connect(path: Path, known: bool) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if known:
                raise sqlite3.DatabaseError("damaged: it is empty, and was not")
            db.executescript(f"BEGIN;{_SCHEMA}{_SCHEMA_2}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version == 1:  # of 0.1.0: without the count
            db.executescript(f"BEGIN;{_SCHEMA_2}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION and made_by(db, _SCHEMA + _SCHEMA_2):
            raise sqlite3.DatabaseError(f"damaged: it says that its schema is {version}, and it is {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise CheckpointError(f"checkpoint {path}: schema {version}, this aggregator knows {SCHEMA_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _from_copy(kept: Kept | None) -> Saved:
    """Return what stands in a copy for a damaged checkpoint."""
    if kept is None:
        return Saved(None, {}, damaged=True, lost=True)
    try:
        if kept.body is None:
            raise ValueError("its bytes changed on the disk too")
        return Saved(_decode(kept.body), kept.outbox, damaged=True)
    except (ValueError, KeyError, TypeError, zlib.error):
        return Saved(None, {}, damaged=True, lost=True, held_readings=kept.readings)


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
