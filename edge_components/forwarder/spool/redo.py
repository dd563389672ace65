"""Application of the journal's commits since the last fold to the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from edge_components.forwarder.spool.change_capture import TABLES
from edge_components.forwarder.spool.frames import Key, digest
from edge_components.forwarder.spool.replay import JournalState, Rows

_INSERT = {
    "pending": "INSERT INTO pending (id, lane, rows, used, payload) VALUES (?, ?, ?, ?, ?)",
    "batches": "INSERT INTO batches (id, lane, rows, epoch, sequence, crc, body, created_ms)"
    " VALUES (?, ?, ?, nullif(?, ''), nullif(?, 0), ?, ?, 0)",
    "senders": "INSERT OR REPLACE INTO senders (epoch, cumulative, ranges, touched) VALUES (?, ?, ?, ?)",
    "losses": "INSERT OR REPLACE INTO losses (reason, number) VALUES (?, ?)",
}
_UPDATE = {
    "pending": "UPDATE pending SET lane = ?, rows = ?, used = ? WHERE id = ?",
    "batches": "UPDATE batches SET lane = ?, rows = ?, epoch = nullif(?, ''), sequence = nullif(?, 0) WHERE id = ?",
}


def apply(db: sqlite3.Connection, journal: JournalState, present: Rows) -> None:
    """Replace the ``present`` rows of the database by those of the journal, in the caller's transaction.

    Raises ValueError if the journal lacks the payload of a row.
    """
    for key in present.keys() - journal.rows.keys():
        _delete(db, key)
    for key, values in journal.rows.items():
        before = present.get(key)
        if before == values:
            continue
        if not TABLES[key[0]].payload:
            db.execute(_INSERT[key[0]], (key[1], *values))
        elif before is not None and before[-1] == values[-1]:
            db.execute(_UPDATE[key[0]], (*values[:-1], key[1]))
        else:
            _delete(db, key)
            _insert(db, key, values, journal)


def _delete(db: sqlite3.Connection, key: Key) -> None:
    db.execute(f"DELETE FROM {key[0]} WHERE {TABLES[key[0]].key} = ?", (key[1],))  # noqa: S608 # our own names


def _insert(db: sqlite3.Connection, key: Key, values: Sequence[Any], journal: JournalState) -> None:
    payload = next((one for one in journal.payloads.get(key, ()) if digest(key[0], one) == values[-1]), None)
    if payload is None:
        raise ValueError(f"{key[0]} {key[1]}: its payload is not in the journal")
    own = values[:-1] if key[0] == "pending" else values  # the digest of a pending payload is not a column
    db.execute(_INSERT[key[0]], (key[1], *own, payload))
