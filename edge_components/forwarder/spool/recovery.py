"""Opening of a spool: replay of the journal after a kill, and recovery of a damaged spool.

A damaged spool is renamed, and its content is restored into a new one: the journal (journal.py) has all metadata and
the newest payloads, the damaged file has the others. A numbered batch keeps its number and epoch: the cloud may have
stored it, and would store it twice under another number.
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
_KEPT, _FOUND = "-wal-kept", "-wal-journal_state"
_JOURNALS = tuple(suffix + end for suffix in journal.SUFFIXES for end in ("", journal.PART, journal.SPARE))
_SUFFIXES = ("", "-wal", "-shm", *_JOURNALS, _FOUND)
_ASIDE, _FRESH = ".recovering", ".fresh"


def open_spool(path: Path, epoch: int, max_bytes: int, wall_ms: int) -> Spool:
    """Open the spool at ``path``, create it with ``epoch`` if it does not exist, or recover a damaged one.

    Raises SpoolError, which names the file, if it can be neither opened nor created.
    """
    aside = path.with_name(path.name + _ASIDE)
    try:
        if not aside.exists():
            kept = _keep_log(path)
            try:
                spool = _open_undamaged(path, epoch, max_bytes, kept)
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


def _open_undamaged(path: Path, epoch: int, max_bytes: int, kept: Path) -> Spool:
    """Open the spool; raises sqlite3.DatabaseError or ValueError if it contradicts its journal."""
    journal_state = replay.read(path)
    spool = Spool.open(path, epoch, max_bytes, known=journal_state is not None)
    try:
        present = spool.row_values()
        if journal_state is not None:
            _catch_up(spool, present, journal_state, kept)
    except BaseException:
        spool.close()
        raise
    return spool


def _catch_up(spool: Spool, present: Rows, journal_state: JournalState, kept: Path) -> None:
    """Bring the spool to the state of its journal; raises ValueError if one of the two is damaged."""
    there, here = journal_state.version, spool.version
    if there.epoch != here.epoch:
        raise ValueError(f"epoch {here.epoch:016x}, its journal has {there.epoch:016x}")
    if here.commits == there.commits:
        if journal_state.intact and present != journal_state.rows:
            raise ValueError("its rows differ from those of its journal")
        if here != there:
            raise ValueError(f"last sequence number {here.last}, its journal has {there.last}")
    elif not journal_state.leads:
        _compare_version_1(here, there, kept)
    elif here.commits > there.commits:
        if journal_state.intact:
            raise ValueError(f"commit {here.commits} is ahead of commit {there.commits} of its journal")
    elif not journal_state.intact or here.commits < journal_state.first:
        raise ValueError(f"its journal does not lead from commit {here.commits} to commit {there.commits}")
    elif present != journal_state.rows_at(here.commits):
        raise ValueError(f"its rows differ from those of its journal at commit {here.commits}")
    else:
        spool.redo(journal_state, present)


def _compare_version_1(here: StateVersion, there: StateVersion, kept: Path) -> None:
    """Compare with a journal of the first format, which may be one commit ahead, or behind after a power cut."""
    error = ValueError(f"commit {here.commits} is behind commit {there.commits} of its journal")
    if here.commits < there.commits - 1:
        raise error
    # Either the process was killed before the last commit, or a flipped bit in the WAL undoes that commit.
    ahead = here.commits == there.commits - 1 and kept.exists()
    if ahead and wal_repair.repaired(kept.read_bytes(), schema.PAGE_BYTES) is not None:
        raise error


def _recover(path: Path, aside: Path, epoch: int, max_bytes: int, damaged: Path) -> Spool:
    """Rename the damaged files, restore their readable content into a new spool, and put it in their place.

    After a power cut the next start continues: while the files are ``aside``, the new spool at ``path`` is either
    absent or complete.
    """
    fresh = path.with_name(path.name + _FRESH)
    if not aside.exists() and path.exists():
        _move(path, aside)
    if not path.exists():
        _move(path, aside)  # the rest of files whose renaming was interrupted
        _remove(fresh)
        spool = Spool.open(fresh, epoch, max_bytes)
        try:
            _repair_log(aside)
            _repair_header(aside, fresh)
            _repair_schema(aside, fresh)
            restore.restore(spool, aside, replay.read(aside))
            spool.checkpoint()
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
    """Copy the write-ahead log of a killed process, if there is one, and return the path of the copy.

    When a connection is closed, SQLite writes the valid part of the log to the database and deletes the log, also if
    the connection is closed because the log is damaged.
    """
    log, kept = _log_of(path), path.with_name(path.name + _KEPT)
    try:
        if log.exists():
            shutil.copyfile(log, kept)
        elif kept.exists():  # the previous process was killed before it restored the log
            kept.replace(log)
    except OSError as error:
        _LOG.warning("spool: the write-ahead log cannot be copied: %s", error)
        with contextlib.suppress(OSError):
            kept.unlink(missing_ok=True)
    return kept


def _move(path: Path, to: Path) -> None:
    """Rename the files of a spool, the database first: the others cannot be used without it."""
    for suffix in _SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(to.with_name(to.name + suffix))


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _repair_log(database: Path) -> None:
    """Repair the write-ahead log behind a flipped bit, and keep a copy of the damaged one."""
    log = _log_of(database)
    if not log.exists() or not database.exists():
        return
    journal_state = log.read_bytes()
    repaired = wal_repair.repaired(journal_state, schema.PAGE_BYTES)
    if repaired is not None:
        _LOG.error("spool: the write-ahead log is damaged; it is repaired")
        database.with_name(database.name + _FOUND).write_bytes(journal_state)
        log.write_bytes(repaired)
        database.with_name(database.name + "-shm").unlink(missing_ok=True)


def _repair_header(damaged: Path, fresh: Path) -> None:
    """Repair the database header (https://www.sqlite.org/fileformat2.html#the_database_header)."""
    size = damaged.stat().st_size if damaged.exists() else 0
    if size < schema.PAGE_BYTES:
        return
    with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    expected = fresh.read_bytes()[:100]
    with damaged.open("r+b") as file:
        there = file.read(100)
        pages = (size // schema.PAGE_BYTES).to_bytes(4, "big")
        # The change counter, which is stored twice, and the list of free pages are kept.
        file.seek(0)
        file.write(expected[:24] + there[24:28] + pages + there[32:40] + expected[40:92] + there[24:28] + expected[96:])


def _repair_schema(damaged: Path, fresh: Path) -> None:
    """Replace a damaged schema by that of a new spool: one flipped bit in it makes every table unreadable.

    The same statements created both in one transaction, and neither was vacuumed, so root pages are equal.
    """
    query = "SELECT rowid, type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rowid"
    try:
        with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            expected = db.execute(query).fetchall()
        with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as db:
            db.text_factory = lambda raw: raw.decode(errors="replace")
            db.execute("PRAGMA writable_schema=ON")
            journal_state = db.execute(query).fetchall()
            if journal_state == expected or [row[0] for row in journal_state] != [row[0] for row in expected]:
                return
            _LOG.error("spool: the schema is damaged; it is replaced")
            for row in expected:
                db.execute(
                    "UPDATE sqlite_schema SET type = ?, name = ?, tbl_name = ?, rootpage = ?, sql = ? WHERE rowid = ?",
                    (*row[1:], row[0]),
                )
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        _LOG.warning("damaged spool, schema: %s", error)
