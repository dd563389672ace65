"""Comparison of an SQLite file's schema with expected statements.

By it a flipped bit in the schema's version, which is damage, is distinguished from a file of a newer version.
"""

from __future__ import annotations

import contextlib
import sqlite3

_TABLES = "SELECT type, name, sql FROM sqlite_schema"


def schema_matches(db: sqlite3.Connection, statements: str) -> bool:
    """Return whether the tables and indexes of ``db`` are exactly those that ``statements`` create."""
    with contextlib.closing(sqlite3.connect(":memory:")) as expected:
        expected.executescript(statements)
        return set(db.execute(_TABLES)) == set(expected.execute(_TABLES))
