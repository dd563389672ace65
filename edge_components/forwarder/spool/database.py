"""Transactions of the spool, committed to the journal at once and to SQLite rarely.

SQLite keeps one transaction open. Each transaction of the spool is a savepoint in it, committed by appending its
changes to the journal. When the journal has grown, SQLite commits (a *fold*) and the journal begins again. After a kill
SQLite has the state of the last fold, and the journal has all later changes (see recovery.py).
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_components.forwarder.errors import SpoolDamagedError, SpoolError, SpoolLostError, SpoolReadOnlyError
from edge_components.forwarder.spool import change_capture, redo, schema, statements
from edge_components.forwarder.spool.frames import StateVersion
from edge_components.forwarder.spool.journal import Journal
from edge_components.forwarder.spool.replay import JournalState, Rows

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""SQLITE_ERROR stands for a missing table or column: the schema is damaged."""
_READ_ONLY = sqlite3.SQLITE_READONLY


class Database:
    """Connection to the file at ``path``, and the journal beside it."""

    def __init__(self, path: Path, epoch: int, known: bool) -> None:
        self.path = path
        self.connection = schema.connect(path, epoch, known)
        try:
            change_capture.capture(self.connection)
            self.version = schema.read_version(self.connection)
        except BaseException:
            self.connection.close()
            raise
        self._journal = Journal(path)
        self._open = self._durable = self._fold_due = False
        self._depth = 0

    def read(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Return the rows of a query."""
        with self._translated_errors():
            return self.connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Commit all changes made within, or none; without a change nothing is written.

        A nested transaction is committed with the outer one. If none of them is ``durable``, the commit does not wait
        for the disk: a power cut may undo it and later ones that are not durable.
        """
        with self._translated_errors():
            if self._depth == 0:
                self._begin()
                self._durable = False
            self._depth += 1
            try:
                with self._savepoint():
                    yield self.connection
                    self._durable |= durable
                    if self._depth == 1:
                        version = self._log()
            finally:
                self._depth -= 1
        if self._depth == 0:
            self.version = version

    def fold(self) -> None:
        """Commit to SQLite and begin the journal again; raises SpoolError."""
        with self._translated_errors():
            self._fold()

    def fold_soon(self) -> None:
        """Fold before the next outermost transaction."""
        self._fold_due = True

    def redo(self, journal: JournalState, present: Rows) -> None:
        """Bring the database, whose rows are ``present``, to the last state of the journal.

        Raises ValueError if the journal lacks the payload of a row.
        """
        with self._translated_errors():
            Journal(self.path).sync()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                redo.apply(self.connection, journal, present)
                schema.write_version(self.connection, journal.version)
                change_capture.changes(self.connection)  # already in the journal
                self.connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.DatabaseError):
                    self.connection.execute("ROLLBACK")
                raise
        self.version = journal.version

    def close(self) -> None:
        """Commit to SQLite if possible, and close the files."""
        with contextlib.suppress(SpoolError, sqlite3.DatabaseError):
            self._commit()
        self.abandon()

    def abandon(self) -> None:
        """Close the files as a kill would: changes since the last fold are in the journal only."""
        self.connection.close()
        self._journal.close()

    def _begin(self) -> None:
        if self._fold_due or self._journal.snapshot_due:
            self._fold()
        if not self._open:
            self.connection.execute("BEGIN IMMEDIATE")
            self._open = True

    def _fold(self) -> None:
        self._commit()
        self._journal.snapshot(self.version, change_capture.everything(self.connection))
        self._fold_due = False

    def _commit(self) -> None:
        if not self._open:
            return
        self._journal.sync()  # the journal must never be behind the database
        self.connection.execute("COMMIT")
        self._open = False

    @contextlib.contextmanager
    def _savepoint(self) -> Iterator[None]:
        db, name = self.connection, f"level_{self._depth}"
        db.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.DatabaseError):
                db.execute(f"ROLLBACK TO {name}")
                db.execute(f"RELEASE {name}")
            raise
        db.execute(f"RELEASE {name}")

    def _log(self) -> StateVersion:
        """Append the changes of the outermost transaction to the journal and return the resulting version."""
        db = self.connection
        changed = change_capture.changes(db)
        if not changed:
            return self.version
        statements.count_commit(db)
        version = StateVersion(self.version.epoch, self.version.commits + 1, statements.last_sequence(db))
        self._journal.append(version, changed, durable=self._durable)
        return version

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error
        except OSError as error:
            kind = SpoolReadOnlyError if error.errno in (errno.EROFS, errno.EACCES) else SpoolError
            raise kind(f"spool {self.path}: its journal: {error.strerror}") from error

    def _failure(self, error: sqlite3.DatabaseError) -> SpoolError:
        if self._open and not self.connection.in_transaction:
            # SQLite has rolled back because the disk is full or fails; the journal has the lost changes.
            return SpoolLostError(f"spool {self.path}: {error}")
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
        kind = SpoolDamagedError if code in _DAMAGED else SpoolReadOnlyError if code == _READ_ONLY else SpoolError
        return kind(f"spool {self.path}: {error}")
