"""Opening a spool that may be damaged: it is moved aside whole, and what can still be read is taken over.

A batch that had a number keeps it, epoch and all: the cloud may have stored it, and would store it twice under another.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_components.forwarder import wal
from edge_components.forwarder.errors import SpoolError
from edge_components.forwarder.mark import SUFFIX
from edge_components.forwarder.spool import Pending, Spool, Spooled
from edge_components.forwarder.tables import LANE_OF
from wire import codec
from wire.acknowledgement import SequenceSet
from wire.errors import WireError

_LOG = logging.getLogger("strandline")
_KEPT, _FOUND = "-wal-kept", "-wal-found"
_SUFFIXES = ("", "-wal", "-shm", SUFFIX, _FOUND)
_ASIDE, _FRESH = ".recovering", ".fresh"


def open_spool(path: Path, epoch: int, max_bytes: int, wall_ms: int) -> Spool:
    """Open the spool at ``path``, or make it under ``epoch``; recover from a damaged one.

    Raises SpoolError, naming the file, when it can be neither opened nor made.
    """
    aside = path.with_name(path.name + _ASIDE)
    try:
        if not aside.exists():
            kept = _keep_log(path)
            try:
                spool = Spool.open(path, epoch, max_bytes)
            except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
                _LOG.error("spool %s is damaged: %s", path, error)
                with contextlib.suppress(FileNotFoundError):
                    kept.replace(_log_of(path))
            else:
                with contextlib.suppress(OSError):
                    kept.unlink(missing_ok=True)
                return spool
        return _recover(path, aside, epoch, max_bytes, path.with_name(f"{path.name}.{wall_ms}.damaged"))
    except (OSError, sqlite3.DatabaseError) as error:
        raise SpoolError(f"spool {path}: {error}") from error


def _recover(path: Path, aside: Path, epoch: int, max_bytes: int, damaged: Path) -> Spool:
    """Move the damaged files aside, make a spool of what is sound in them, and put it in their place.

    Whenever the power fails in between, the next start goes on: while the files are ``aside``, what is at ``path`` is
    either not there, or the new spool and complete.
    """
    fresh = path.with_name(path.name + _FRESH)
    if not aside.exists() and path.exists():
        _move(path, aside)
    if not path.exists():
        _move(path, aside)  # what a move that was cut short left behind
        _remove(fresh)
        spool = Spool.open(fresh, epoch, max_bytes)
        try:
            _take_over(spool, aside)
        finally:
            spool.close()
        fresh.rename(path)
        _remove(fresh)
    _move(aside, damaged)
    _LOG.error("the damaged spool is kept as %s", damaged.name)
    return Spool.open(path, epoch, max_bytes)


def _log_of(database: Path) -> Path:
    return database.with_name(database.name + "-wal")


def _keep_log(path: Path) -> Path:
    """Copy the log that a killed process left, and return the copy's path: it may be, and need not, be there.

    SQLite rolls the log in as far as it is sound and deletes it when a connection is closed, also one that we close
    because it shows that the log was not sound.
    """
    log, kept = _log_of(path), path.with_name(path.name + _KEPT)
    try:
        if log.exists():
            shutil.copyfile(log, kept)
        elif kept.exists():  # the process before this one was killed before it could put it back
            kept.replace(log)
    except OSError as error:
        _LOG.warning("spool: its log cannot be kept while it is opened: %s", error)
        with contextlib.suppress(OSError):
            kept.unlink(missing_ok=True)
    return kept


def _move(path: Path, to: Path) -> None:
    """Rename a spool's files, the database first: without it the rest is nothing."""
    for suffix in _SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(to.with_name(to.name + suffix))


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _mend_log(database: Path) -> None:
    """Make the log readable behind a flipped bit; as it was found it is kept beside it."""
    log = _log_of(database)
    if not log.exists() or not database.exists():
        return
    size = int.from_bytes(database.read_bytes()[16:18], "big") if database.stat().st_size >= 18 else 0
    page_bytes = {0: 4096, 1: 65_536}.get(size, size)
    if page_bytes < 512 or page_bytes & (page_bytes - 1):
        return
    found = log.read_bytes()
    mended = wal.repaired(found, page_bytes)
    if mended is not None:
        _LOG.error("spool: the log is damaged; its frames are read all the same")
        database.with_name(database.name + _FOUND).write_bytes(found)
        log.write_bytes(mended)
        database.with_name(database.name + "-shm").unlink(missing_ok=True)


def _mend_schema(damaged: Path, fresh: Path) -> None:
    """Write the schema as a new spool has it: one flipped bit in it makes every table unreadable.

    Both were made by the same statements in one transaction and never vacuumed, so tables have the same root pages.
    """
    query = "SELECT rowid, type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rowid"
    try:
        with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            right = db.execute(query).fetchall()
        with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as db:
            db.text_factory = lambda raw: raw.decode(errors="replace")
            db.execute("PRAGMA writable_schema=ON")
            found = db.execute(query).fetchall()
            if found == right or [row[0] for row in found] != [row[0] for row in right]:
                return
            _LOG.error("spool: the schema is damaged; it is written as it must be")
            for row in right:
                db.execute(
                    "UPDATE sqlite_schema SET type = ?, name = ?, tbl_name = ?, rootpage = ?, sql = ? WHERE rowid = ?",
                    (*row[1:], row[0]),
                )
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        _LOG.warning("damaged spool, its schema: %s", error)


def _take_over(spool: Spool, damaged: Path) -> None:
    """Adopt every row of the damaged file that is sound, and count what is not."""
    batches, pending, senders, losses, unreadable = [], [], [], [], 0
    names: set[tuple[int, int]] = set()
    _mend_log(damaged)
    _mend_schema(damaged, spool.path)
    # On a copy's terms: SQLite may write to the file it reads (its log is rolled in), the rows stay as they are.
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as db:
        for key, lane, batch_epoch, sequence, rows, crc, body in _rows(
            db, "batches", "id, lane, coalesce(epoch, '0'), coalesce(sequence, 0), rows, crc, body"
        ):
            try:
                if zlib.crc32(body) != crc:
                    raise ValueError("its bytes changed on the disk")
                name = (int(batch_epoch, 16), int(sequence))
                if sequence and name in names:
                    raise ValueError("another batch has its number")
                names.add(name)
                batches.append(Spooled(int(key), LANE_OF[lane], *name, int(rows), body))
            except (ValueError, TypeError, KeyError):
                unreadable += 1
        for key, lane, rows, used, payload in _rows(db, "pending", "id, lane, rows, used, payload"):
            try:
                if not 0 <= used < rows or len(codec.decode(payload).rows) != rows:
                    raise ValueError("its rows are not as they were counted")
                pending.append(Pending(int(key), LANE_OF[lane], int(rows), int(used), payload))
            except (WireError, ValueError, TypeError, KeyError):
                unreadable += 1
        senders = [row for row in _rows(db, "senders", "epoch, cumulative, ranges") if _is_sender(row)]
        losses = [row for row in _rows(db, "losses", "reason, number") if isinstance(row[1], int)]
    spool.adopt(batches, pending, senders)
    for reason, number in losses:
        spool.lose(str(reason), number)
    spool.lose("spools_damaged", 1)
    if unreadable:
        spool.lose("batches_not_recovered", unreadable)
    _LOG.error(
        "recovered from the damaged spool: %d batches, %d payloads of rows; %d could not be read",
        len(batches), len(pending), unreadable,
    )  # fmt: skip


def _rows(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table up from the lowest key and, past a damaged page, down from the highest."""
    seen: set[Any] = set()
    for order in ("ASC", "DESC"):
        try:
            # The names are this module's own.
            cursor = db.execute(f"SELECT {columns} FROM {table} ORDER BY rowid {order}")  # noqa: S608
            for row in cursor:
                if row[0] in seen:
                    return
                seen.add(row[0])
                yield row
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            _LOG.warning("damaged spool, table %s, %s: %s", table, order, error)
        else:
            return


def _is_sender(row: tuple[Any, ...]) -> bool:
    try:
        int(row[0], 16)
        SequenceSet(int(row[1]), [(a, b) for a, b in json.loads(row[2])])
    except (ValueError, TypeError, RecursionError):
        return False
    return True
