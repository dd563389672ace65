"""Schema of the spool's SQLite database, and the connection to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_components.common.schema import schema_matches
from edge_components.forwarder.errors import SpoolError
from edge_components.forwarder.spool.frames import StateVersion
from wire.topics import Lane

SCHEMA_VERSION = 1
PAGE_BYTES = 4096
LANE_NUMBER = {Lane.URGENT: 0, Lane.BULK: 1, Lane.BACKFILL: 2}
LANE_OF = {number: lane for lane, number in LANE_NUMBER.items()}
LOSS_COUNTERS = {
    "rows_refused": "dropped_rows_too_large",
    "rows_unreadable": "dropped_rows_unreadable",
    **{f"rows_dropped_{lane}": f"dropped_rows_{lane}" for lane in Lane},
    **{f"rows_not_recovered_{lane}": f"dropped_rows_not_recovered_{lane}" for lane in Lane},
}
"""Counters of losses by the reason under which the table stores them, where the two differ."""

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
    """Open the spool's file, or create it with ``epoch``; raises sqlite3.DatabaseError if it is damaged.

    ``known`` means that it had content before, so that an empty file is damaged, too.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")  # only effective for a new file
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if known:
                raise sqlite3.DatabaseError("damaged: the file is empty")
            # executescript takes no parameters; both values are integers.
            first = f"INSERT INTO meta VALUES ('epoch', '{epoch:016x}'), ('last_sequence', '0'), ('commits', '0');"  # noqa: S608
            db.executescript(f"BEGIN;{_SCHEMA}{first}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION and schema_matches(db, _SCHEMA):
            raise sqlite3.DatabaseError(f"damaged: schema version {version} of tables of version {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            hint = " (of a newer forwarder: deploy that version again)" if version > SCHEMA_VERSION else ""
            raise SpoolError(f"spool {path}: schema {version}{hint}, supported is {SCHEMA_VERSION}")
        elif (result := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"damaged: {result}")
    except BaseException:
        db.close()
        raise
    return db


def read_version(db: sqlite3.Connection) -> StateVersion:
    """Return the version of the spool's state; raises KeyError or ValueError if it cannot be read."""
    meta = dict(db.execute("SELECT key, value FROM meta"))
    return StateVersion(int(meta["epoch"], 16), int(meta.get("commits", 0)), int(meta["last_sequence"]))


def write_version(db: sqlite3.Connection, version: StateVersion) -> None:
    """Set the number of commits and the last sequence number."""
    for key, value in (("commits", version.commits), ("last_sequence", version.last)):
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(value)))
