"""The spool's file behind transactions that are noted in the journal and tell what failed by the package's errors."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_components.forwarder import images, tables
from edge_components.forwarder.errors import SpoolDamagedError, SpoolError, SpoolReadOnlyError
from edge_components.forwarder.journal import Journal, Moment

_DAMAGED, _READ_ONLY = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB), sqlite3.SQLITE_READONLY


class Database:
    """A connection to the file at ``path`` and the journal beside it."""

    def __init__(self, path: Path, epoch: int, known: bool) -> None:
        self.path = path
        self.connection = tables.connect(path, epoch, known)
        try:
            images.watch(self.connection)
            self.moment = tables.moment(self.connection)
        except BaseException:
            self.connection.close()
            raise
        self._journal = Journal(path)

    def read(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Return the rows of a query."""
        try:
            return self.connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is done within, all of it or nothing; what changes nothing writes nothing."""
        db, moment = self.connection, self.moment
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                before = db.total_changes
                yield db
                if db.total_changes != before:
                    tables.count_commit(db)
                    moment = Moment(moment.epoch, moment.commits + 1, tables.last_sequence(db))
                    self._journal.add(moment, images.touched(db), lambda: images.everything(db))
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.DatabaseError):  # SQLite may have rolled back by itself (disk full)
                    db.execute("ROLLBACK")
                self._journal.distrust()
                raise
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error
        except OSError as error:
            kind = SpoolReadOnlyError if error.errno in (errno.EROFS, errno.EACCES) else SpoolError
            raise kind(f"spool {self.path}: its journal: {error.strerror}") from error
        self.moment = moment

    def close(self) -> None:
        """Close the files."""
        self.connection.close()
        self._journal.close()

    def _failure(self, error: sqlite3.DatabaseError) -> SpoolError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details of an extended code
        kind = SpoolDamagedError if code in _DAMAGED else SpoolReadOnlyError if code == _READ_ONLY else SpoolError
        return kind(f"spool {self.path}: {error}")
