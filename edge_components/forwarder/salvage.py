"""What a damaged spool held, read from its journal and from what is left of its tables, for a new one to take over."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_components.common import aggregates_message
from edge_components.forwarder.images import TABLES, digest
from edge_components.forwarder.journal import Found, Key
from edge_components.forwarder.rows import Pending, Spooled
from edge_components.forwarder.spool import Spool
from edge_components.forwarder.tables import LANE_OF
from wire.acknowledgement import SequenceSet
from wire.errors import WireError

_LOG = logging.getLogger("strandline")
Sender = tuple[str, int, str]


def take_over(spool: Spool, damaged: Path, found: Found | None) -> None:
    """Adopt what can be read of the file ``damaged`` and of its journal, and count what cannot.

    By an intact journal what is not there is counted to the row. Without one only what can be read is known, and what
    names neither its lane nor its rows is one of ``batches_not_recovered``.
    """
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as db:
        if found is not None and found.intact:
            batches, pending, lost = _by_journal(db, found)
            senders = _noted_senders(found)
            lost.update(
                {str(reason): number for (table, reason), (number, *_) in found.rows.items() if table == "losses"}
            )
        else:
            batches, pending, lost = _by_tables(db)
            senders = _senders(db, found)
            lost.update(
                {str(row[0]): row[1] for row in _rows(db, "losses", "reason, number") if isinstance(row[1], int)}
            )
    lost["spools_damaged"] += 1
    spool.adopt(batches, pending, senders)
    for reason, number in lost.items():
        spool.lose(reason, number)
    _LOG.error(
        "recovered from the damaged spool: %d batches, %d payloads of rows%s", len(batches), len(pending),
        "" if found is not None and found.intact else "; its journal is damaged too",
        extra={"fields": {"lost": dict(lost)}},
    )  # fmt: skip


def _noted_senders(found: Found) -> list[Sender]:
    """Return the senders of the journal, the one last heard from last."""
    noted = [(values[2], key, values) for (table, key), values in found.rows.items() if table == "senders"]
    return [(str(key), values[0], values[1]) for _, key, values in sorted(noted, key=lambda one: one[0])]


def _by_journal(db: sqlite3.Connection, found: Found) -> tuple[list[Spooled], list[Pending], Counter[str]]:
    """Return what the journal names, each with its payload from wherever it is as it was."""
    batches: list[Spooled] = []
    pending: list[Pending] = []
    lost: Counter[str] = Counter()
    names = [key for key in found.rows if key[0] in ("batches", "pending")]
    for name in sorted(names, key=lambda key: (key[0], int(key[1]))):
        values, key = found.rows[name], int(name[1])
        lane = LANE_OF[values[0]]
        candidates = (*_payloads(db, name), *found.payloads.get(name, ()))
        body = next((one for one in candidates if digest(name[0], one) == values[-1]), None)
        if name[0] == "batches":
            _, rows, epoch, sequence, _ = values
            if body is None:
                lost[f"rows_not_recovered_{lane}"] += rows
            else:
                batches.append(Spooled(key, lane, int(epoch or "0", 16), sequence, rows, body))
        else:
            _, rows, used, _ = values
            if body is None:
                lost[f"rows_not_recovered_{lane}"] += rows - used
            else:
                pending.append(Pending(key, lane, rows, used, body))
    return batches, pending, lost


def _payloads(db: sqlite3.Connection, name: Key) -> list[bytes]:
    """Return the payload that the table has under a key, if it can be read: each is looked up by itself."""
    table = TABLES[name[0]]
    try:
        query = f"SELECT {table.payload} FROM {name[0]} WHERE {table.key} = ?"  # noqa: S608 # our own names
        row = db.execute(query, (name[1],)).fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return []
    return [row[0]] if row and isinstance(row[0], bytes) else []


def _by_tables(db: sqlite3.Connection) -> tuple[list[Spooled], list[Pending], Counter[str]]:
    """Return every row of the damaged file that is sound by itself."""
    batches: list[Spooled] = []
    pending: list[Pending] = []
    lost: Counter[str] = Counter()
    names: set[tuple[int, int]] = set()
    query = "id, lane, coalesce(epoch, '0'), coalesce(sequence, 0), rows, crc, body"
    for key, lane, batch_epoch, sequence, rows, crc, body in _rows(db, "batches", query):
        try:
            if zlib.crc32(body) != crc:
                lost[f"rows_not_recovered_{LANE_OF[lane]}"] += rows
                continue
            name = (int(batch_epoch, 16), int(sequence))
            if sequence and name in names:
                raise ValueError("another batch has its number")
            names.add(name)
            batches.append(Spooled(int(key), LANE_OF[lane], *name, int(rows), body))
        except (ValueError, TypeError, KeyError):
            lost["batches_not_recovered"] += 1
    for key, lane, rows, used, payload in _rows(db, "pending", "id, lane, rows, used, payload"):
        try:
            if not 0 <= used < rows or len(aggregates_message.decode(payload).rows) != rows:
                raise ValueError("its rows are not as they were counted")
            pending.append(Pending(int(key), LANE_OF[lane], int(rows), int(used), payload))
        except WireError:
            lost[f"rows_not_recovered_{LANE_OF[lane]}"] += rows - used
        except (ValueError, TypeError, KeyError):
            lost["batches_not_recovered"] += 1
    # Past a damaged page they were read from the other end.
    batches.sort(key=lambda one: one.id)
    pending.sort(key=lambda one: one.id)
    return batches, pending, lost


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


def _senders(db: sqlite3.Connection, found: Found | None) -> list[Sender]:
    """Return what was held of each sender, by both that can say so: what one forgot, the other may know."""
    told = [row for row in _rows(db, "senders", "epoch, cumulative, ranges") if _is_sender(row)]
    if found is not None:
        told += [row for row in _noted_senders(found) if _is_sender(row)]
    furthest: dict[str, Sender] = {}
    for epoch, cumulative, ranges in told:
        if epoch not in furthest or cumulative > furthest[epoch][1]:
            furthest[epoch] = (epoch, cumulative, ranges)
    return list(furthest.values())


def _is_sender(row: tuple[Any, ...]) -> bool:
    try:
        int(row[0], 16)
        SequenceSet(int(row[1]), [(a, b) for a, b in json.loads(row[2])])
    except (ValueError, TypeError, RecursionError):
        return False
    return True
