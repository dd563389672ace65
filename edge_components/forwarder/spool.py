"""The spool: a durable queue on the gateway's disk (SQLite, WAL, synchronous=FULL).

Three things change together or not at all, whenever the power fails: the rows taken in and the record of whose they
were (so that a sender's repetition is known), the batches formed and the rows they used up, and the sequence counter.
One thread uses it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_components.forwarder.errors import SpoolError, SpoolFullError
from wire.acknowledgement import Acknowledgement, SequenceSet
from wire.topics import Lane

SCHEMA_VERSION = 1
REMEMBERED_SENDERS = 16
_LANE_ORDER = {Lane.URGENT: 0, Lane.BULK: 1, Lane.BACKFILL: 2}
_LANES = {number: lane for lane, number in _LANE_ORDER.items()}

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- Rows taken in and not yet in a batch, as they came; the first `used` rows of a payload are in batches already.
CREATE TABLE pending (
    id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, rows INTEGER NOT NULL, used INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE TABLE batches (
    sequence INTEGER PRIMARY KEY, lane INTEGER NOT NULL, created_ms INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE INDEX batches_by_lane ON batches (lane, sequence);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, created_ms INTEGER NOT NULL, reason TEXT NOT NULL, payload BLOB
) STRICT;
-- What is held of each sender's epoch, as in wire.acknowledgement.SequenceSet; `touched` orders them by last use.
CREATE TABLE senders (
    epoch TEXT PRIMARY KEY, cumulative INTEGER NOT NULL, ranges TEXT NOT NULL, touched INTEGER NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A batch that waits for its acknowledgement."""

    sequence: int
    lane: Lane
    payload: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """Rows as they were taken in, of which the first ``used`` are in batches already."""

    lane: Lane
    used: int
    payload: bytes


class Spool:
    """The queue; every method raises SpoolError, naming the file, when SQLite cannot do its part."""

    def __init__(self, connection: sqlite3.Connection, path: Path, max_bytes: int, damaged: Path | None) -> None:
        self._db, self._path, self.damaged = connection, path, damaged
        self.max_bytes = max_bytes
        meta = dict(self._db.execute("SELECT key, value FROM meta"))
        self.epoch = int(meta["epoch"], 16)
        self._last = int(meta["last_sequence"])
        sizes = "SELECT coalesce(sum(length(payload)), 0) FROM "
        self._bytes: int = sum(self._db.execute(sizes + table).fetchone()[0] for table in ("pending", "batches"))
        self._held = {
            int(epoch, 16): SequenceSet(cumulative, [(a, b) for a, b in json.loads(ranges)])
            for epoch, cumulative, ranges in self._db.execute("SELECT epoch, cumulative, ranges FROM senders")
        }

    @classmethod
    def open(cls, path: Path, epoch: int, max_bytes: int, wall_ms: int) -> Spool:
        """Open the spool at ``path``, or make it under ``epoch``.

        A file that SQLite cannot read is moved aside whole (``.damaged``) and a new one made: see ``damaged``.
        """
        damaged = None
        try:
            return cls(_connect(path, epoch), path, max_bytes, damaged)
        except (sqlite3.DatabaseError, ValueError, KeyError) as error:
            # A locked or unwritable file is no damage: moving it would not help.
            if isinstance(error, sqlite3.OperationalError) or not path.exists():
                raise SpoolError(f"spool {path}: {error}") from error
            damaged = path.with_name(f"{path.name}.{wall_ms}.damaged")
        try:
            path.rename(damaged)
            for suffix in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).rename(damaged.with_name(damaged.name + suffix))
            return cls(_connect(path, epoch), path, max_bytes, damaged)
        except (OSError, sqlite3.DatabaseError) as error:
            raise SpoolError(f"spool {path}: {error}") from error

    @property
    def next_sequence(self) -> int:
        """The number that the next batch must carry."""
        return self._last + 1

    @property
    def size(self) -> int:
        """Bytes of payload held, in rows that wait and in batches."""
        return self._bytes

    def holds(self, sender_epoch: int, sequence: int) -> bool:
        """Return whether a sender's batch was taken in before."""
        return sender_epoch in self._held and sequence in self._held[sender_epoch]

    def acknowledgement(self, sender_epoch: int) -> Acknowledgement:
        """Return what to tell a sender."""
        return self._held.setdefault(sender_epoch, SequenceSet()).acknowledgement(sender_epoch)

    def take_in(self, arrivals: list[tuple[int, int, Lane, int, bytes]]) -> None:
        """Take in (sender's epoch, sequence, lane, rows, payload) of several batches in one commit, none held before.

        Raises SpoolFullError, and takes in none, when they do not fit.
        """
        size = sum(len(payload) for *_, rows, payload in arrivals if rows)
        if self._bytes + size > self.max_bytes:
            raise SpoolFullError(f"spool {self._path}: {self._bytes} of {self.max_bytes} bytes, {size} more do not fit")
        held: dict[int, SequenceSet] = {}
        with self._transaction() as db:
            for epoch, sequence, lane, rows, payload in arrivals:
                if rows:
                    db.execute(
                        "INSERT INTO pending (lane, rows, used, payload) VALUES (?, ?, 0, ?)",
                        (_LANE_ORDER[lane], rows, payload),
                    )
                before = self._held.get(epoch, SequenceSet())
                held.setdefault(epoch, SequenceSet(before.cumulative, before.ranges)).add(sequence)
            forgotten = _remember(db, held)
        # Only what is committed is ever acknowledged.
        self._held |= held
        for epoch in forgotten:
            self._held.pop(epoch, None)
        self._bytes += size

    def pending(self) -> Iterator[Pending]:
        """Yield what was taken in and is not wholly in batches, oldest first; for a restart."""
        rows = self._db.execute("SELECT lane, used, payload FROM pending ORDER BY id").fetchall()
        for lane, used, payload in rows:
            yield Pending(_LANES[lane], used, bytes(payload))

    def put(self, lane: Lane, payload: bytes, used_rows: int, created_ms: int) -> int:
        """Put a batch encoded under :attr:`next_sequence`, which uses up the oldest pending rows of its lane."""
        with self._transaction() as db:
            db.execute("UPDATE meta SET value = ? WHERE key = 'last_sequence'", (str(self._last + 1),))
            db.execute(
                "INSERT INTO batches (sequence, lane, created_ms, payload) VALUES (?, ?, ?, ?)",
                (self._last + 1, _LANE_ORDER[lane], created_ms, payload),
            )
            freed = _use_up(db, lane, used_rows)
        self._last += 1
        self._bytes += len(payload) - freed
        return self._last

    def set_aside(self, lane: Lane, rows: int, payload: bytes | None, reason: str, created_ms: int) -> None:
        """Move the oldest ``rows`` pending rows of a lane to the quarantine, as bytes where they can be written."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO quarantine (lane, created_ms, reason, payload) VALUES (?, ?, ?, ?)",
                (_LANE_ORDER[lane], created_ms, reason, payload),
            )
            freed = _use_up(db, lane, rows)
        self._bytes -= freed

    def quarantined(self) -> int:
        """Return how many entries the quarantine has."""
        count: int = self._db.execute("SELECT count(*) FROM quarantine").fetchone()[0]
        return count

    def after(self, lane: Lane, sequence: int, limit: int) -> list[Spooled]:
        """Return up to ``limit`` batches of a lane with numbers above ``sequence``, lowest first."""
        found = self._db.execute(
            "SELECT sequence, payload FROM batches WHERE lane = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (_LANE_ORDER[lane], sequence, limit),
        )
        return [Spooled(number, lane, bytes(payload)) for number, payload in found]

    def get(self, sequence: int) -> Spooled | None:
        """Return a batch, or None when it is freed."""
        row = self._db.execute("SELECT lane, payload FROM batches WHERE sequence = ?", (sequence,)).fetchone()
        return Spooled(sequence, _LANES[row[0]], bytes(row[1])) if row else None

    def free(self, ack: Acknowledgement) -> int:
        """Delete the batches that ``ack`` covers and return how many; one for another epoch frees none."""
        if ack.epoch != self.epoch:
            return 0
        count = freed = 0
        with self._transaction() as db:
            for first, last in ((1, ack.cumulative), *ack.ranges):
                where = (first, last)
                freed += db.execute(
                    "SELECT coalesce(sum(length(payload)), 0) FROM batches WHERE sequence BETWEEN ? AND ?", where
                ).fetchone()[0]
                count += db.execute("DELETE FROM batches WHERE sequence BETWEEN ? AND ?", where).rowcount
        self._bytes -= freed
        return count

    def counts(self) -> dict[Lane, int]:
        """Return how many batches wait in each lane."""
        found = dict(self._db.execute("SELECT lane, count(*) FROM batches GROUP BY lane"))
        return {lane: found.get(number, 0) for lane, number in _LANE_ORDER.items()}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise SpoolError(f"spool {self._path}: {error}") from error


def _remember(db: sqlite3.Connection, held: dict[int, SequenceSet]) -> list[int]:
    """Write what is held of each sender's epoch and return the epochs that are forgotten for their age."""
    for epoch, numbers in held.items():
        db.execute(
            "INSERT INTO senders VALUES (?, ?, ?, (SELECT coalesce(max(touched), 0) + 1 FROM senders))"
            " ON CONFLICT (epoch) DO UPDATE SET cumulative = excluded.cumulative, ranges = excluded.ranges,"
            " touched = excluded.touched",
            (f"{epoch:016x}", numbers.cumulative, json.dumps(numbers.ranges)),
        )
    forgotten = db.execute(
        "DELETE FROM senders WHERE epoch NOT IN (SELECT epoch FROM senders ORDER BY touched DESC LIMIT ?)"
        " RETURNING epoch",
        (REMEMBERED_SENDERS,),
    )
    return [int(epoch, 16) for (epoch,) in forgotten.fetchall()]


def _connect(path: Path, epoch: int) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            # executescript takes no parameters; both values are our own numbers.
            first = f"INSERT INTO meta VALUES ('epoch', '{epoch:016x}'), ('last_sequence', '0');"  # noqa: S608
            db.executescript(f"BEGIN;{_SCHEMA}{first}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise SpoolError(f"spool {path}: schema {version}, this forwarder knows {SCHEMA_VERSION}")
        elif (verdict := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"damaged: {verdict}")
    except BaseException:
        db.close()
        raise
    return db


def _use_up(db: sqlite3.Connection, lane: Lane, rows: int) -> int:
    """Mark the oldest pending rows of a lane as used, delete payloads that are wholly so, return the bytes freed."""
    freed, left = 0, rows
    query = "SELECT id, rows - used, length(payload) FROM pending WHERE lane = ? AND id > ? ORDER BY id LIMIT 1"
    after = 0
    while left:
        head = db.execute(query, (_LANE_ORDER[lane], after)).fetchone()
        if head is None:
            raise SpoolError(f"{rows} rows of lane {lane} to use up, only {rows - left} are pending")
        after, unused, size = head
        if left < unused:
            db.execute("UPDATE pending SET used = used + ? WHERE id = ?", (left, after))
            break
        db.execute("DELETE FROM pending WHERE id = ?", (after,))
        left, freed = left - unused, freed + size
    return freed
