"""Restoring of a damaged spool's content from its journal and the readable part of its tables."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_components.common import aggregates_message
from edge_components.forwarder.spool.change_capture import TABLES
from edge_components.forwarder.spool.entries import PendingPayload, SpooledBatch
from edge_components.forwarder.spool.frames import Key, digest
from edge_components.forwarder.spool.replay import JournalState, Rows
from edge_components.forwarder.spool.schema import LANE_OF, read_version
from edge_components.forwarder.spool.spool import Spool
from wire.acknowledgement import SequenceSet
from wire.errors import WireError

_LOG = logging.getLogger("strandline")
Sender = tuple[str, int, str]


def restore(spool: Spool, damaged: Path, journal: JournalState | None) -> None:
    """Restore the readable content of the file ``damaged`` and of its journal, and count losses.

    With an intact journal every missing row is counted. Without one only the readable rows are known, and a batch whose
    lane and rows cannot be read is counted as one of ``batches_not_recovered``.
    """
    intact = journal is not None and journal.intact
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as db:
        if journal is not None and intact:
            content = _from_journal(db, journal.rows, journal)
            senders = _journal_senders(journal)
            losses = _losses(journal.rows)
        else:
            later = journal.rows_after({}, _last_commit(db, journal)) if journal is not None else {}
            content = _from_tables(db, journal)
            if journal is not None:
                content.extend(_from_journal(db, later, journal))
            senders = _senders(db, journal)
            losses = {str(row[0]): row[1] for row in _rows(db, "losses", "reason, number") if isinstance(row[1], int)}
            losses |= _losses(later)
    content.lost.update(losses)
    content.lost["spools_damaged"] += 1
    spool.restore(content.batches, content.pending, senders)
    for reason, number in content.lost.items():
        spool.count_loss(reason, number)
    _LOG.error(
        "restored from the damaged spool: %d batches, %d payloads of rows%s",
        len(content.batches), len(content.pending), "" if intact else "; its journal is damaged too",
        extra={"fields": {"lost": dict(content.lost)}},
    )  # fmt: skip


@dataclass(slots=True)
class _Content:
    batches: list[SpooledBatch] = field(default_factory=list)
    pending: list[PendingPayload] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)

    def extend(self, other: _Content) -> None:
        self.batches += other.batches
        self.pending += other.pending
        self.batches.sort(key=lambda one: one.id)
        self.pending.sort(key=lambda one: one.id)
        self.lost.update(other.lost)


def _losses(rows: Rows) -> dict[str, int]:
    return {str(reason): values[0] for (table, reason), values in rows.items() if table == "losses"}


def _last_commit(db: sqlite3.Connection, journal: JournalState) -> int:
    """Return the last commit of the damaged database; that of the journal's snapshot if it cannot be read."""
    try:
        return read_version(db).commits
    except (sqlite3.DatabaseError, UnicodeDecodeError, ValueError, KeyError, TypeError):
        return journal.first


def _journal_senders(journal: JournalState) -> list[Sender]:
    """Return the senders in the journal, the most recent one last."""
    senders = [(values[2], key, values) for (table, key), values in journal.rows.items() if table == "senders"]
    return [(str(key), values[0], values[1]) for _, key, values in sorted(senders, key=lambda one: one[0])]


def _from_journal(db: sqlite3.Connection, wanted: Rows, journal: JournalState) -> _Content:
    """Return rows named by the journal, each with a payload of the table or the journal that matches its digest."""
    content = _Content()
    names = [key for key in wanted if key[0] in ("batches", "pending")]
    for name in sorted(names, key=lambda key: (key[0], int(key[1]))):
        values, key = wanted[name], int(name[1])
        lane = LANE_OF[values[0]]
        candidates = (*_payloads(db, name), *journal.payloads.get(name, ()))
        body = next((one for one in candidates if digest(name[0], one) == values[-1]), None)
        if name[0] == "batches":
            _, rows, epoch, sequence, _ = values
            if body is None:
                content.lost[f"rows_not_recovered_{lane}"] += rows
            else:
                content.batches.append(SpooledBatch(key, lane, int(epoch or "0", 16), sequence, rows, body))
        else:
            _, rows, used, _ = values
            if body is None:
                content.lost[f"rows_not_recovered_{lane}"] += rows - used
            else:
                content.pending.append(PendingPayload(key, lane, rows, used, body))
    return content


def _payloads(db: sqlite3.Connection, name: Key) -> list[bytes]:
    """Return the payload of a key in its table, if it can be read; a damaged page affects only its own rows."""
    table = TABLES[name[0]]
    try:
        query = f"SELECT {table.payload} FROM {name[0]} WHERE {table.key} = ?"  # noqa: S608 # our own names
        row = db.execute(query, (name[1],)).fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return []
    return [row[0]] if row and isinstance(row[0], bytes) else []


def _from_tables(db: sqlite3.Connection, journal: JournalState | None) -> _Content:
    """Return every valid row of the damaged file that the journal does not change later."""
    later = journal.changed_after(_last_commit(db, journal)) if journal is not None else set()
    content, lost = _Content(), Counter[str]()
    names: set[tuple[int, int]] = set()
    query = "id, lane, coalesce(epoch, '0'), coalesce(sequence, 0), rows, crc, body"
    for key, lane, batch_epoch, sequence, rows, crc, body in _rows(db, "batches", query, later):
        try:
            if zlib.crc32(body) != crc:
                lost[f"rows_not_recovered_{LANE_OF[lane]}"] += rows
                continue
            name = (int(batch_epoch, 16), int(sequence))
            if sequence and name in names:
                raise ValueError("duplicate sequence number")
            names.add(name)
            content.batches.append(SpooledBatch(int(key), LANE_OF[lane], *name, int(rows), body))
        except (ValueError, TypeError, KeyError):
            lost["batches_not_recovered"] += 1
    for key, lane, rows, used, payload in _rows(db, "pending", "id, lane, rows, used, payload", later):
        try:
            if not 0 <= used < rows or len(aggregates_message.decode(payload).rows) != rows:
                raise ValueError("unexpected number of rows")
            content.pending.append(PendingPayload(int(key), LANE_OF[lane], int(rows), int(used), payload))
        except WireError:
            lost[f"rows_not_recovered_{LANE_OF[lane]}"] += rows - used
        except (ValueError, TypeError, KeyError):
            lost["batches_not_recovered"] += 1
    # Rows behind a damaged page were read in descending order.
    content.batches.sort(key=lambda one: one.id)
    content.pending.sort(key=lambda one: one.id)
    content.lost = lost
    return content


def _rows(db: sqlite3.Connection, table: str, columns: str, skip: Collection[Key] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table in ascending order and, behind a damaged page, in descending order."""
    seen: set[Any] = set()
    for order in ("ASC", "DESC"):
        try:
            # The names are this module's own.
            cursor = db.execute(f"SELECT {columns} FROM {table} ORDER BY rowid {order}")  # noqa: S608
            for row in cursor:
                if row[0] in seen:
                    return
                seen.add(row[0])
                if (table, row[0]) not in skip:
                    yield row
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            _LOG.warning("damaged spool, table %s, %s: %s", table, order, error)
        else:
            return


def _senders(db: sqlite3.Connection, journal: JournalState | None) -> list[Sender]:
    """Return the sequence numbers received from each sender, by tables and journal, each of which may lack some."""
    known = [row for row in _rows(db, "senders", "epoch, cumulative, ranges") if _is_sender(row)]
    if journal is not None:
        known += [row for row in _journal_senders(journal) if _is_sender(row)]
    furthest: dict[str, Sender] = {}
    for epoch, cumulative, ranges in known:
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
