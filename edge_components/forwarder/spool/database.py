"""The spool's database behind transactions that are committed to the journal at once and to SQLite rarely.

SQLite holds one transaction open. Each transaction of ours is a savepoint in it; to commit it is to append what it
changed to the journal. When the journal has grown, SQLite commits (a *fold*) and the journal begins anew. After a kill
SQLite has the state of the last fold, and the journal everything since (see recovery.py).
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
"""The last of them: a table or column that a statement of ours names is not there, as the schema has changed."""
_READ_ONLY = sqlite3.SQLITE_READONLY


class Database:
    """A connection to the file at ``path`` and the journal beside it."""

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
        with self._translated():
            return self.connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Commit the changes made within, all of them or none; no change writes nothing.

        A transaction within another is committed with it. Where none of them is ``durable``, the disk is not waited
        for: a power cut may undo it and all later ones that are not durable.
        """
        with self._translated():
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
        """Commit to SQLite and begin the journal anew; raises SpoolError."""
        with self._translated():
            self._fold()

    def fold_soon(self) -> None:
        """Fold before the next transaction that is not within another."""
        self._fold_due = True

    def redo(self, found: JournalState, held: Rows) -> None:
        """Bring the database, which holds ``held``, to the last version of its journal.

        Raises ValueError where the journal lacks the payload of a row.
        """
        with self._translated():
            Journal(self.path).sync()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                redo.apply(self.connection, found, held)
                schema.write_version(self.connection, found.version)
                change_capture.changes(self.connection)  # the journal has them
                self.connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.DatabaseError):
                    self.connection.execute("ROLLBACK")
                raise
        self.version = found.version

    def close(self) -> None:
        """Close the files; what SQLite does not have yet is committed to it if possible."""
        with contextlib.suppress(SpoolError, sqlite3.DatabaseError):
            self._commit()
        self.abandon()

    def abandon(self) -> None:
        """Close the files as a kill would: what SQLite does not have yet stays in the journal."""
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
        self._journal.sync()  # so that it is never behind the database, unless it is damaged
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
        """Append the changes of the outermost transaction to the journal and return the version that they make."""
        db = self.connection
        changed = change_capture.changes(db)
        if not changed:
            return self.version
        statements.count_commit(db)
        version = StateVersion(self.version.epoch, self.version.commits + 1, statements.last_sequence(db))
        self._journal.append(version, changed, durable=self._durable)
        return version

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error
        except OSError as error:
            kind = SpoolReadOnlyError if error.errno in (errno.EROFS, errno.EACCES) else SpoolError
            raise kind(f"spool {self.path}: its journal: {error.strerror}") from error

    def _failure(self, error: sqlite3.DatabaseError) -> SpoolError:
        if self._open and not self.connection.in_transaction:
            # SQLite rolls back by itself when the disk is full or fails; the journal has what it lost.
            return SpoolLostError(f"spool {self.path}: {error}")
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details of an extended code
        kind = SpoolDamagedError if code in _DAMAGED else SpoolReadOnlyError if code == _READ_ONLY else SpoolError
        return kind(f"spool {self.path}: {error}")
