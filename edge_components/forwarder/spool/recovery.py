"""Opens a spool: redoes what a killed process left in the journal, and replaces a damaged spool by a new one.

A damaged spool is moved aside whole and its content restored into the new one: the journal (journal.py) has all facts
and the newest payloads, the damaged file has the others. A batch that had a number keeps it and its epoch: the cloud
may have stored it, and would store it twice under another.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
from pathlib import Path

from edge_components.forwarder.errors import SpoolDamagedError, SpoolError
from edge_components.forwarder.spool import journal, replay, restore, schema, wal_repair
from edge_components.forwarder.spool.frames import StateVersion
from edge_components.forwarder.spool.replay import JournalState, Rows
from edge_components.forwarder.spool.spool import Spool

_LOG = logging.getLogger("strandline")
_KEPT, _FOUND = "-wal-kept", "-wal-found"
_JOURNALS = tuple(suffix + end for suffix in journal.SUFFIXES for end in ("", journal.PART, journal.SPARE))
_SUFFIXES = ("", "-wal", "-shm", *_JOURNALS, _FOUND)
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
                spool = _open_sound(path, epoch, max_bytes, kept)
            except (sqlite3.DatabaseError, SpoolDamagedError, ValueError, KeyError, TypeError) as error:
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


def _open_sound(path: Path, epoch: int, max_bytes: int, kept: Path) -> Spool:
    """Open the spool; raises sqlite3.DatabaseError or ValueError where it and its journal contradict each other."""
    found = replay.read(path)
    spool = Spool.open(path, epoch, max_bytes, known=found is not None)
    try:
        held = spool.held()
        if found is not None:
            _catch_up(spool, held, found, kept)
    except BaseException:
        spool.close()
        raise
    return spool


def _catch_up(spool: Spool, held: Rows, found: JournalState, kept: Path) -> None:
    """Bring the spool to where its journal is; raises ValueError where one of the two is not as it was written."""
    there, here = found.version, spool.version
    if there.epoch != here.epoch:
        raise ValueError(f"it has the epoch {here.epoch:016x}, its journal {there.epoch:016x}")
    if here.commits == there.commits:
        if found.intact and held != found.rows:
            raise ValueError("its rows are not those of its journal")
        if here != there:
            raise ValueError(f"it gave {here.last} numbers, by its journal {there.last}")
    elif not found.leads:
        _compare_version_1(here, there, kept)
    elif here.commits > there.commits:
        if found.intact:
            raise ValueError(f"it is at commit {here.commits}, its journal at {there.commits}")
    elif not found.intact or here.commits < found.first:
        raise ValueError(f"it is at commit {here.commits}, and its journal cannot bring it to {there.commits}")
    elif held != found.rows_at(here.commits):
        raise ValueError(f"its rows are not those of its journal at commit {here.commits}")
    else:
        spool.redo(found, held)


def _compare_version_1(here: StateVersion, there: StateVersion, kept: Path) -> None:
    """Compare with a journal of an earlier version, which may be one commit ahead, or behind after a power cut."""
    back = ValueError(f"it went back from commit {there.commits} to {here.commits}")
    if here.commits < there.commits - 1:
        raise back
    # Either it was killed before the last commit, or a flipped bit in the log takes that commit back.
    ahead = here.commits == there.commits - 1 and kept.exists()
    if ahead and wal_repair.repaired(kept.read_bytes(), schema.PAGE_BYTES) is not None:
        raise back


def _recover(path: Path, aside: Path, epoch: int, max_bytes: int, damaged: Path) -> Spool:
    """Move the damaged files aside, restore what is sound in them into a new spool, and put that in their place.

    After a power cut in between, the next start goes on: while the files are ``aside``, the new spool at ``path`` is
    either absent or complete.
    """
    fresh = path.with_name(path.name + _FRESH)
    if not aside.exists() and path.exists():
        _move(path, aside)
    if not path.exists():
        _move(path, aside)  # what a move that was cut short left behind
        _remove(fresh)
        spool = Spool.open(fresh, epoch, max_bytes)
        try:
            _repair_log(aside)
            _repair_header(aside, fresh)
            _repair_schema(aside, fresh)
            restore.restore(spool, aside, replay.read(aside))
            spool.settle()
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

    When a connection is closed, SQLite writes the sound part of the log to the database and deletes the log, also when
    we close the connection because the log was not sound.
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


def _repair_log(database: Path) -> None:
    """Make the log readable behind a flipped bit; as it was found it is kept beside it."""
    log = _log_of(database)
    if not log.exists() or not database.exists():
        return
    found = log.read_bytes()
    repaired = wal_repair.repaired(found, schema.PAGE_BYTES)
    if repaired is not None:
        _LOG.error("spool: the log is damaged; its frames are read all the same")
        database.with_name(database.name + _FOUND).write_bytes(found)
        log.write_bytes(repaired)
        database.with_name(database.name + "-shm").unlink(missing_ok=True)


def _repair_header(damaged: Path, fresh: Path) -> None:
    """Write what a database's first bytes must be (https://www.sqlite.org/fileformat2.html#the_database_header)."""
    size = damaged.stat().st_size if damaged.exists() else 0
    if size < schema.PAGE_BYTES:
        return
    with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    right = fresh.read_bytes()[:100]
    with damaged.open("r+b") as file:
        there = file.read(100)
        pages = (size // schema.PAGE_BYTES).to_bytes(4, "big")
        # As they are stay the counter of changes, which goes twice, and the list of free pages.
        file.seek(0)
        file.write(right[:24] + there[24:28] + pages + there[32:40] + right[40:92] + there[24:28] + right[96:])


def _repair_schema(damaged: Path, fresh: Path) -> None:
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
