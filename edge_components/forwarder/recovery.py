"""Opening a spool that may be damaged: it is moved aside whole, and what can still be read is taken over.

A batch that had a number keeps it, epoch and all: the cloud may have stored it, and would store it twice under another.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_components.forwarder.errors import SpoolError
from edge_components.forwarder.spool import Pending, Spool, Spooled
from edge_components.forwarder.tables import LANE_OF
from wire import codec
from wire.errors import WireError

_LOG = logging.getLogger("strandline")


def open_spool(path: Path, epoch: int, max_bytes: int, wall_ms: int) -> Spool:
    """Open the spool at ``path``, or make it under ``epoch``; recover from a damaged one.

    Raises SpoolError, naming the file, when it can be neither opened nor made.
    """
    try:
        return Spool.open(path, epoch, max_bytes)
    except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
        damaged = path.with_name(f"{path.name}.{wall_ms}.damaged")
        _LOG.error("spool %s is damaged (%s): it is kept as %s", path, error, damaged.name)
    try:
        _move_aside(path, damaged)
        spool = Spool.open(path, epoch, max_bytes)
    except (OSError, sqlite3.DatabaseError) as error:
        raise SpoolError(f"spool {path}: {error}") from error
    _take_over(spool, damaged)
    return spool


def _move_aside(path: Path, damaged: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(damaged.with_name(damaged.name + suffix))


def _take_over(spool: Spool, damaged: Path) -> None:
    """Adopt every row of the damaged file that is sound, and count what is not."""
    batches, pending, senders, unreadable = [], [], [], 0
    # On a copy's terms: SQLite may write to the file it reads (its log is rolled in), the rows stay as they are.
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as db:
        for key, lane, batch_epoch, sequence, rows, crc, body in _rows(
            db, "batches", "id, lane, coalesce(epoch, '0'), coalesce(sequence, 0), rows, crc, body"
        ):
            try:
                if zlib.crc32(body) != crc:
                    raise ValueError("its bytes changed on the disk")
                batches.append(Spooled(int(key), LANE_OF[lane], int(batch_epoch, 16), int(sequence), int(rows), body))
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
    return isinstance(row[0], str) and isinstance(row[1], int) and isinstance(row[2], str)
