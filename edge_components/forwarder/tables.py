"""The spool's tables, and the statements on them; each runs in its caller's transaction."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_components.common.schema import made_by
from edge_components.forwarder.errors import SpoolError
from edge_components.forwarder.frames import Moment
from wire.acknowledgement import SequenceSet
from wire.topics import Lane

SCHEMA_VERSION = 1
PAGE_BYTES = 4096
REMEMBERED_SENDERS = 16
LANE_NUMBER = {Lane.URGENT: 0, Lane.BULK: 1, Lane.BACKFILL: 2}
LANE_OF = {number: lane for lane, number in LANE_NUMBER.items()}

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- Rows taken in and not yet in a batch, as they came; the first `used` rows of a payload are in batches already.
CREATE TABLE pending (
    id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, rows INTEGER NOT NULL, used INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT;
-- Packed rows; epoch and sequence are NULL until the batch is first sent. `crc` finds flipped bits, SQLite does not.
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, epoch TEXT, sequence INTEGER,
    created_ms INTEGER NOT NULL, rows INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX batches_by_name ON batches (epoch, sequence);
CREATE INDEX batches_by_lane ON batches (lane, id) WHERE sequence IS NULL;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, reason TEXT NOT NULL, body BLOB
) STRICT;
-- What is held of each sender's epoch, as in wire.acknowledgement.SequenceSet; `touched` orders them by last use.
CREATE TABLE senders (
    epoch TEXT PRIMARY KEY, cumulative INTEGER NOT NULL, ranges TEXT NOT NULL, touched INTEGER NOT NULL
) STRICT;
-- Every row that was merged, dropped, set aside or not recovered, for as long as this spool lives.
CREATE TABLE losses (reason TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT;
"""


def connect(path: Path, epoch: int, known: bool = False) -> sqlite3.Connection:
    """Open the spool's file, or make it under ``epoch``; raises sqlite3.DatabaseError when it is not sound.

    ``known``: it held something before, so an empty one is not sound either.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")  # counts only for a file that is made now
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if known:
                raise sqlite3.DatabaseError("damaged: it is empty, and was not")
            # executescript takes no parameters; both values are our own numbers.
            first = f"INSERT INTO meta VALUES ('epoch', '{epoch:016x}'), ('last_sequence', '0'), ('commits', '0');"  # noqa: S608
            db.executescript(f"BEGIN;{_SCHEMA}{first}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION and made_by(db, _SCHEMA):
            raise sqlite3.DatabaseError(f"damaged: it says that its schema is {version}, and it is {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise SpoolError(f"spool {path}: schema {version}, this forwarder knows {SCHEMA_VERSION}")
        elif (verdict := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"damaged: {verdict}")
    except BaseException:
        db.close()
        raise
    return db


def moment(db: sqlite3.Connection) -> Moment:
    """Return the spool's moment; raises KeyError or ValueError where it cannot be read."""
    meta = dict(db.execute("SELECT key, value FROM meta"))
    return Moment(int(meta["epoch"], 16), int(meta.get("commits", 0)), int(meta["last_sequence"]))


def set_moment(db: sqlite3.Connection, moment: Moment) -> None:
    """Set the number of commits and the last sequence number."""
    for key, value in (("commits", moment.commits), ("last_sequence", moment.last)):
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(value)))


def last_sequence(db: sqlite3.Connection) -> int:
    """Return the last sequence number given."""
    return int(db.execute("SELECT value FROM meta WHERE key = 'last_sequence'").fetchone()[0])


def count_commit(db: sqlite3.Connection) -> None:
    """Count the commit that is about to be made."""
    db.execute(
        "INSERT INTO meta VALUES ('commits', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
    )


def insert_batch(db: sqlite3.Connection, lane: Lane, body: bytes, rows: int, created_ms: int) -> int:
    """Insert a batch without a number and return its id."""
    cursor = db.execute(
        "INSERT INTO batches (lane, created_ms, rows, crc, body) VALUES (?, ?, ?, ?, ?)",
        (LANE_NUMBER[lane], created_ms, rows, zlib.crc32(body), body),
    )
    return int(cursor.lastrowid or 0)


def delete_batches(db: sqlite3.Connection, keys: Sequence[int]) -> int:
    """Delete batches and return the bytes freed."""
    freed = 0
    for key in keys:
        freed += sum(size for (size,) in db.execute("DELETE FROM batches WHERE id = ? RETURNING length(body)", (key,)))
    return freed


def use_up(db: sqlite3.Connection, lane: Lane, rows: int) -> int:
    """Mark the oldest pending rows of a lane as used, delete payloads that are wholly so, return the bytes freed."""
    freed, left, after = 0, rows, 0
    query = "SELECT id, rows - used, length(payload) FROM pending WHERE lane = ? AND id > ? ORDER BY id LIMIT 1"
    while left:
        head = db.execute(query, (LANE_NUMBER[lane], after)).fetchone()
        if head is None:
            raise SpoolError(f"{rows} rows of lane {lane} to use up, only {rows - left} are pending")
        after, unused, size = head
        if left < unused:
            db.execute("UPDATE pending SET used = used + ? WHERE id = ?", (left, after))
            break
        db.execute("DELETE FROM pending WHERE id = ?", (after,))
        left, freed = left - unused, freed + size
    return freed


def record_senders(db: sqlite3.Connection, held: Mapping[int, SequenceSet]) -> list[int]:
    """Write the sequences held of each sender's epoch and return the epochs that are forgotten for their age."""
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


def quarantine(db: sqlite3.Connection, lane: Lane, body: bytes | None, reason: str) -> None:
    """Keep bytes that cannot be sent, with the reason."""
    db.execute("INSERT INTO quarantine (lane, reason, body) VALUES (?, ?, ?)", (LANE_NUMBER[lane], reason, body))


def count_loss(db: sqlite3.Connection, reason: str, number: int) -> None:
    """Count a loss."""
    db.execute(
        "INSERT INTO losses VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET number = number + excluded.number",
        (reason, number),
    )
