"""Change capture: the rows that a transaction changed, in the form in which the journal stores them.

Temporary triggers, which belong to the connection and are not in the file, record each row that any statement changes.
The table names in :data:`TABLES` are stored in the journal and must not change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from edge_components.forwarder.spool.frames import Change, Key, digest

KEPT_BYTES = 1_000_000
"""Bytes of the newest batches' payloads that a snapshot includes."""


class _Table(NamedTuple):
    key: str
    values: str
    payload: str


TABLES = {
    "pending": _Table("id", "lane, rows, used", "payload"),
    "batches": _Table("id", "lane, rows, coalesce(epoch, ''), coalesce(sequence, 0), crc", "body"),
    "senders": _Table("epoch", "cumulative, ranges, touched", ""),
    "losses": _Table("reason", "number", ""),
}


def capture(db: sqlite3.Connection) -> None:
    """Install the triggers on a connection."""
    db.execute("PRAGMA temp_store=MEMORY")
    db.execute("CREATE TEMP TABLE changed_rows (kind TEXT NOT NULL, key NOT NULL, is_new INTEGER NOT NULL)")
    for name, table in TABLES.items():
        for event, row, is_new in (("INSERT", "NEW", 1), ("UPDATE", "NEW", 0), ("DELETE", "OLD", 0)):
            record = f"INSERT INTO changed_rows VALUES ('{name}', {row}.{table.key}, {is_new})"  # noqa: S608 # our names
            db.execute(f"CREATE TEMP TRIGGER {name}_{event} AFTER {event} ON main.{name} BEGIN {record}; END")


def changes(db: sqlite3.Connection) -> list[Change]:
    """Return the present state of the rows changed since the last call; a new row with its payload."""
    rows = db.execute("SELECT kind, key, max(is_new) FROM changed_rows GROUP BY kind, key").fetchall()
    db.execute("DELETE FROM changed_rows")
    return [_change(db, kind, key, bool(is_new)) for kind, key, is_new in rows]


def everything(db: sqlite3.Connection) -> Iterator[Change]:
    """Yield all rows, with the payloads of all pending rows and of the newest batches."""
    room = KEPT_BYTES
    for name, table in TABLES.items():
        # SQLite does not read payloads that are not selected: there may be a quarter of a gigabyte of them.
        query = f"SELECT {table.key}, {table.values} FROM {name} ORDER BY rowid DESC"  # noqa: S608 # our own names
        for key, *values in db.execute(query).fetchall():
            if name == "pending" or (table.payload and room > 0):
                change = _change(db, name, key, True)
                room -= len(change.payload)
                yield change
            else:
                yield Change((name, key), values)


def row_values(db: sqlite3.Connection) -> dict[Key, list[Any]]:
    """Return the values of all rows by key; raises ValueError for a batch whose checksum does not match."""
    rows: dict[Key, list[Any]] = {}
    for name, table in TABLES.items():
        payload = table.payload or "x''"
        query = f"SELECT {table.key}, {payload}, {table.values} FROM {name}"  # noqa: S608 # our own names
        for key, body, *values in db.execute(query):
            if name == "batches" and digest(name, body) != values[-1]:
                raise ValueError(f"batch {key}: its checksum does not match")
            rows[name, key] = [*values, digest(name, body)] if name == "pending" else values
    return rows


def _change(db: sqlite3.Connection, name: str, key: int | str, with_payload: bool) -> Change:
    table = TABLES[name]
    payload = table.payload if table.payload and (with_payload or name == "pending") else "x''"
    query = f"SELECT {payload}, {table.values} FROM {name} WHERE {table.key} = ?"  # noqa: S608 # our own names
    row = db.execute(query, (key,)).fetchone()
    if row is None:
        return Change((name, key), None)
    body, *values = row
    if name == "pending":
        values.append(digest(name, body))
    return Change((name, key), values, bytes(body) if with_payload else b"")
