"""Whether an SQLite file has the tables that its number of version promises.

The number is four bytes in the file's first page, and one flipped bit in them must not stop a component for ever, as a
file of a newer version rightly does.
"""

from __future__ import annotations

import contextlib
import sqlite3

_TABLES = "SELECT type, name, sql FROM sqlite_schema"


def made_by(db: sqlite3.Connection, statements: str) -> bool:
    """Return whether the tables and indexes of ``db`` are just those that ``statements`` make."""
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        model.executescript(statements)
        return set(db.execute(_TABLES)) == set(model.execute(_TABLES))
