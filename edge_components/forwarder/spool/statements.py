"""Statements on the spool's tables; each runs in its caller's transaction."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence

from edge_components.forwarder.errors import SpoolError
from edge_components.forwarder.spool.schema import LANE_NUMBER
from wire.acknowledgement import SequenceSet
from wire.topics import Lane

REMEMBERED_SENDERS = 16
MAX_QUARANTINED = 1_000
"""Entries of the quarantine; beyond it the oldest are deleted, so that a faulty sender does not fill the disk."""


def last_sequence(db: sqlite3.Connection) -> int:
    """Return the last assigned sequence number."""
    return int(db.execute("SELECT value FROM meta WHERE key = 'last_sequence'").fetchone()[0])


def count_commit(db: sqlite3.Connection) -> None:
    """Increment the number of commits."""
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


def consume_pending(db: sqlite3.Connection, lane: Lane, rows: int) -> int:
    """Mark the oldest pending rows of a lane as used, delete completely used payloads and return the bytes freed."""
    freed, left, after = 0, rows, 0
    query = "SELECT id, rows - used, length(payload) FROM pending WHERE lane = ? AND id > ? ORDER BY id LIMIT 1"
    while left:
        head = db.execute(query, (LANE_NUMBER[lane], after)).fetchone()
        if head is None:
            raise SpoolError(f"{rows} rows of lane {lane} are to be used, only {rows - left} are pending")
        after, unused, size = head
        if left < unused:
            db.execute("UPDATE pending SET used = used + ? WHERE id = ?", (left, after))
            break
        db.execute("DELETE FROM pending WHERE id = ?", (after,))
        left, freed = left - unused, freed + size
    return freed


def record_senders(db: sqlite3.Connection, received: Mapping[int, SequenceSet]) -> list[int]:
    """Write the sequence numbers received by sender's epoch; delete and return the least recently used epochs."""
    for epoch, numbers in received.items():
        db.execute(
            "INSERT INTO senders VALUES (?, ?, ?, (SELECT coalesce(max(touched), 0) + 1 FROM senders))"
            " ON CONFLICT (epoch) DO UPDATE SET cumulative = excluded.cumulative, ranges = excluded.ranges,"
            " touched = excluded.touched",
            (f"{epoch:016x}", numbers.cumulative, json.dumps(numbers.ranges)),
        )
    deleted = db.execute(
        "DELETE FROM senders WHERE epoch NOT IN (SELECT epoch FROM senders ORDER BY touched DESC LIMIT ?)"
        " RETURNING epoch",
        (REMEMBERED_SENDERS,),
    )
    return [int(epoch, 16) for (epoch,) in deleted.fetchall()]


def quarantine(db: sqlite3.Connection, lane: Lane, body: bytes | None, reason: str) -> None:
    """Store bytes that cannot be sent, with the reason; the oldest of too many entries are deleted."""
    db.execute("INSERT INTO quarantine (lane, reason, body) VALUES (?, ?, ?)", (LANE_NUMBER[lane], reason, body))
    db.execute("DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (MAX_QUARANTINED,))


def count_loss(db: sqlite3.Connection, reason: str, number: int) -> None:
    """Add a loss to the count of its reason."""
    db.execute(
        "INSERT INTO losses VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET number = number + excluded.number",
        (reason, number),
    )
