"""Durable queue of rows and batches on the gateway's disk: SQLite behind a journal (see database.py).

These change atomically: received rows and the record of their sequence numbers (by which a repeated batch is
recognised), formed batches and the pending rows that they use, the number of a batch and the counter of numbers.
:meth:`Spool.group` commits several changes together.

A batch gets its number when it is first sent. So a batch without a number can be merged or dropped without a gap in the
numbers; a numbered batch is not changed, because the cloud may have stored it. Not thread-safe.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_components.forwarder.errors import SpoolError, SpoolFullError
from edge_components.forwarder.spool import change_capture, statements
from edge_components.forwarder.spool.database import Database
from edge_components.forwarder.spool.entries import PendingPayload, ReceivedBatch, SpooledBatch
from edge_components.forwarder.spool.frames import StateVersion
from edge_components.forwarder.spool.replay import JournalState, Rows
from edge_components.forwarder.spool.schema import LANE_NUMBER, LANE_OF, LOSS_COUNTERS
from wire.acknowledgement import Acknowledgement, SequenceSet
from wire.topics import Lane

_BATCH = "SELECT id, lane, coalesce(epoch, '0'), coalesce(sequence, 0), rows, body, crc FROM batches "


class Spool:
    """Durable queue; every method raises SpoolError, which names the file, if SQLite or the journal fails."""

    def __init__(self, database: Database, max_bytes: int) -> None:
        self._database, self._db = database, database.connection
        self.path, self.max_bytes = database.path, max_bytes
        self.epoch, self._last = database.version.epoch, database.version.last
        self._transaction, self._read = database.transaction, database.read
        self._bytes = 0
        self.loss_events = 0
        """Number of losses counted by this object; :meth:`losses` is unchanged while it is."""
        self._received: dict[int, SequenceSet] = {}
        self._load()

    def _load(self) -> None:
        """Read the values that are also kept in memory."""
        self._bytes = self._db.execute(
            "SELECT (SELECT coalesce(sum(length(payload)), 0) FROM pending)"
            " + (SELECT coalesce(sum(length(body)), 0) FROM batches)"
        ).fetchone()[0]
        self._received = {
            int(epoch, 16): SequenceSet(cumulative, [(a, b) for a, b in json.loads(ranges)])
            for epoch, cumulative, ranges in self._db.execute("SELECT epoch, cumulative, ranges FROM senders")
        }
        self._last = statements.last_sequence(self._db)

    @classmethod
    def open(cls, path: Path, epoch: int, max_bytes: int, *, known: bool = False) -> Spool:
        """Open the spool at ``path``, or create it with ``epoch``; with ``known`` it must exist.

        Raises sqlite3.DatabaseError (not OperationalError), ValueError, KeyError or TypeError for a damaged file; see
        recovery.py.
        """
        try:
            database = Database(path, epoch, known)
            try:
                return cls(database, max_bytes)
            except BaseException:
                database.close()
                raise
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a table or column is missing
                raise sqlite3.DatabaseError(f"damaged: {error}") from error
            raise SpoolError(f"spool {path}: {error}") from error

    @property
    def version(self) -> StateVersion:
        """Version of the state: epoch, number of commits, last assigned sequence number."""
        return self._database.version

    @contextlib.contextmanager
    def group(self) -> Iterator[None]:
        """Commit all changes made within together, or none; raises SpoolError."""
        try:
            with self._transaction(durable=False):
                yield
        except BaseException:
            with contextlib.suppress(sqlite3.DatabaseError):
                self._load()
            raise

    def row_values(self) -> Rows:
        """Return the values of every row without payloads; raises ValueError for a damaged batch."""
        return change_capture.row_values(self._db)

    @property
    def size(self) -> int:
        """Bytes of pending payloads and batches."""
        return self._bytes

    # Received batches

    def holds(self, sender_epoch: int, sequence: int) -> bool:
        """Return whether a sender's batch was stored before."""
        return sender_epoch in self._received and sequence in self._received[sender_epoch]

    def acknowledgement(self, sender_epoch: int) -> Acknowledgement:
        """Return the acknowledgement for a sender."""
        return self._received.get(sender_epoch, SequenceSet()).acknowledgement(sender_epoch)

    def store(self, arrivals: Sequence[ReceivedBatch]) -> None:
        """Store received batches, none of which was stored before, in one commit.

        Unusable ones are moved to the quarantine. Raises SpoolFullError, and stores none, if they do not fit.
        """
        size = sum(len(arrival.payload) for arrival in arrivals if arrival.rows and not arrival.unusable)
        if self._bytes + size > self.max_bytes:
            raise SpoolFullError(f"spool {self.path}: {self._bytes} of {self.max_bytes} bytes, {size} more do not fit")
        received: dict[int, SequenceSet] = {}
        with self._transaction() as db:
            for arrival in arrivals:
                if arrival.unusable:
                    statements.quarantine(db, arrival.lane, arrival.payload, arrival.unusable)
                    self._count_loss(db, "dropped_rows_unexpected", arrival.rows)
                    self._database.fold_soon()
                elif arrival.rows:
                    db.execute(
                        "INSERT INTO pending (lane, rows, used, payload) VALUES (?, ?, 0, ?)",
                        (LANE_NUMBER[arrival.lane], arrival.rows, arrival.payload),
                    )
                before = self._received.get(arrival.epoch, SequenceSet())
                now_received = received.setdefault(arrival.epoch, SequenceSet(before.cumulative, before.ranges))
                now_received.add(arrival.sequence)
            deleted = statements.record_senders(db, received)
        # Only committed batches are acknowledged.
        self._received |= received
        for epoch in deleted:
            self._received.pop(epoch, None)
        self._bytes += size

    def pending(self) -> Iterator[PendingPayload]:
        """Yield the payloads with rows that are not in batches yet, oldest first; for a restart."""
        rows = self._db.execute("SELECT id, lane, rows, used, payload FROM pending ORDER BY id").fetchall()
        for key, lane, number, used, payload in rows:
            yield PendingPayload(key, LANE_OF[lane], number, used, bytes(payload))

    def quarantine_pending(self, key: int, reason: str) -> None:
        """Move a pending payload that cannot be read to the quarantine."""
        with self._transaction() as db:
            row = db.execute("DELETE FROM pending WHERE id = ? RETURNING lane, rows - used, payload", (key,)).fetchone()
            statements.quarantine(db, LANE_OF[row[0]], row[2], reason)
            self._count_loss(db, "rows_unreadable", row[1])
        self._database.fold_soon()  # the journal does not contain the quarantine
        self._bytes -= len(row[2])

    # Batches

    def put(self, lane: Lane, body: bytes, rows: int, used_rows: int, created_ms: int) -> int:
        """Store a formed batch, which uses the oldest ``used_rows`` pending rows of its lane; return its id.

        Not synced: until the batch is numbered, its rows are durable as pending ones.
        """
        with self._transaction(durable=False) as db:
            key = statements.insert_batch(db, lane, body, rows, created_ms)
            freed = statements.consume_pending(db, lane, used_rows)
        self._bytes += len(body) - freed
        return key

    def quarantine_rows(self, lane: Lane, rows: int, body: bytes | None, reason: str) -> None:
        """Move the oldest ``rows`` pending rows of a lane to the quarantine (``body`` None: not encodable)."""
        with self._transaction() as db:
            statements.quarantine(db, lane, body, reason)
            self._count_loss(db, "rows_refused", rows)
            freed = statements.consume_pending(db, lane, rows)
        self._database.fold_soon()
        self._bytes -= freed

    def unsent(self, lane: Lane, limit: int) -> list[SpooledBatch]:
        """Return up to ``limit`` undamaged batches of a lane that were never sent, oldest first."""
        query = _BATCH + "WHERE lane = ? AND sequence IS NULL ORDER BY id LIMIT ?"
        return self._undamaged(self._read(query, (LANE_NUMBER[lane], limit)))

    def sent(self) -> list[int]:
        """Return the ids of batches that were sent and not freed, oldest first; for a restart."""
        return [key for (key,) in self._read("SELECT id FROM batches WHERE sequence IS NOT NULL ORDER BY id")]

    def get(self, key: int) -> SpooledBatch | None:
        """Return a batch, None if it was freed or is damaged."""
        return next(iter(self._undamaged(self._read(_BATCH + "WHERE id = ?", (key,)))), None)

    def number(self, batches: Sequence[SpooledBatch]) -> list[SpooledBatch]:
        """Assign the next numbers to batches, in one commit; required before they are first sent."""
        numbered = []
        with self._transaction() as db:
            for at, batch in enumerate(batches, self._last + 1):
                db.execute(
                    "UPDATE batches SET epoch = ?, sequence = ? WHERE id = ?", (f"{self.epoch:016x}", at, batch.id)
                )
                numbered.append(replace(batch, epoch=self.epoch, sequence=at))
            db.execute("UPDATE meta SET value = ? WHERE key = 'last_sequence'", (str(self._last + len(batches)),))
        self._last += len(batches)
        return numbered

    def free(self, ack: Acknowledgement) -> list[int]:
        """Delete the batches that ``ack`` covers and return their ids.

        Not synced: a batch that a power cut restores is sent again, and the cloud recognises it.
        """
        freed: list[tuple[int, int]] = []
        with self._transaction(durable=False) as db:
            for first, last in ((1, ack.cumulative), *ack.ranges):
                found = db.execute(
                    "DELETE FROM batches WHERE epoch = ? AND sequence BETWEEN ? AND ? RETURNING id, length(body)",
                    (f"{ack.epoch:016x}", first, last),
                )
                freed += found.fetchall()
        self._bytes -= sum(size for _, size in freed)
        return [key for key, _ in freed]

    def counts(self) -> dict[Lane, int]:
        """Return the number of batches in each lane, sent or not."""
        found = dict(self._read("SELECT lane, count(*) FROM batches GROUP BY lane"))
        return {lane: found.get(number, 0) for lane, number in LANE_NUMBER.items()}

    def demote(self, keep: int) -> int:
        """Move all but the newest ``keep`` unsent bulk batches to the backfill lane and return their number."""
        bulk, backfill = LANE_NUMBER[Lane.BULK], LANE_NUMBER[Lane.BACKFILL]
        with self._transaction(durable=False) as db:
            return db.execute(
                "UPDATE batches SET lane = ? WHERE sequence IS NULL AND lane = ? AND id <= coalesce("
                "(SELECT id FROM batches WHERE sequence IS NULL AND lane = ? ORDER BY id DESC LIMIT 1 OFFSET ?), 0)",
                (backfill, bulk, bulk, keep),
            ).rowcount

    # Overflow

    def replace(self, old: Sequence[SpooledBatch], new: Sequence[tuple[bytes, int]], created_ms: int) -> None:
        """Replace batches that were never sent by the (body, rows) of wider windows."""
        lost = sum(batch.rows for batch in old) - sum(rows for _, rows in new)
        with self._transaction() as db:
            freed = statements.delete_batches(db, [batch.id for batch in old])
            for body, rows in new:
                statements.insert_batch(db, Lane.BACKFILL, body, rows, created_ms)
            self._count_loss(db, "rows_merged", lost)
        self._bytes += sum(len(body) for body, _ in new) - freed

    def drop_oldest(self) -> tuple[Lane, int] | None:
        """Drop the batch of lowest priority and return its lane and rows; None if the spool has no batch.

        Backfill is dropped before bulk and bulk before urgent; within a lane, unsent batches before sent ones.
        """
        row = self._read("SELECT id, lane, rows FROM batches ORDER BY lane DESC, sequence IS NOT NULL, id LIMIT 1", ())
        if not row:
            return None
        key, number, rows = row[0]
        lane = LANE_OF[number]
        with self._transaction() as db:
            freed = statements.delete_batches(db, [key])
            self._count_loss(db, f"rows_dropped_{lane}", rows)
        self._bytes -= freed
        return lane, rows

    def losses(self) -> dict[str, int]:
        """Return the number of rows merged, dropped, quarantined or not recovered, by counter name."""
        found = self._read("SELECT reason, number FROM losses ORDER BY reason")
        return {LOSS_COUNTERS.get(reason, reason): number for reason, number in found}

    def count_loss(self, reason: str, number: int) -> None:
        """Add a loss to the count of its reason."""
        with self._transaction() as db:
            self._count_loss(db, reason, number)

    def _count_loss(self, db: sqlite3.Connection, reason: str, number: int) -> None:
        statements.count_loss(db, reason, number)
        self.loss_events += 1

    def restore(
        self,
        batches: Sequence[SpooledBatch],
        pending: Sequence[PendingPayload],
        senders: Sequence[tuple[str, int, str]],
    ) -> None:
        """Store the content recovered from a damaged spool; numbered batches keep their epoch and number."""
        with self._transaction() as db:
            for row in pending:
                db.execute(
                    "INSERT INTO pending (lane, rows, used, payload) VALUES (?, ?, ?, ?)",
                    (LANE_NUMBER[row.lane], row.rows, row.used, row.payload),
                )
            for batch in batches:
                key = statements.insert_batch(db, batch.lane, batch.body, batch.rows, 0)
                if batch.sequence:
                    db.execute(
                        "UPDATE batches SET epoch = ?, sequence = ? WHERE id = ?",
                        (f"{batch.epoch:016x}", batch.sequence, key),
                    )
            received = {int(e, 16): SequenceSet(c, [(a, b) for a, b in json.loads(ranges)]) for e, c, ranges in senders}
            statements.record_senders(db, received)
        self._received |= received
        self._bytes += sum(len(batch.body) for batch in batches) + sum(len(row.payload) for row in pending)

    def reusable(self) -> int:
        """Return the size of the free pages in the file."""
        return int(self._read("PRAGMA freelist_count")[0][0] * self._read("PRAGMA page_size")[0][0])

    def checkpoint(self) -> None:
        """Write everything to the database file, so that it is complete without a log; raises SpoolError."""
        self._database.fold()
        if self._read("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            raise SpoolError(f"spool {self.path}: its write-ahead log cannot be checkpointed")

    def redo(self, journal: JournalState, present: Rows) -> None:
        """Bring the spool to the last state of its journal; raises ValueError if that lacks a payload."""
        self._database.redo(journal, present)
        self._load()

    def fold(self) -> None:
        """Commit to SQLite and begin the journal again; raises SpoolError."""
        self._database.fold()

    def close(self) -> None:
        """Commit to SQLite if possible, and close the files."""
        self._database.close()

    def abandon(self) -> None:
        """Close the files as a kill would: changes since the last fold are in the journal only."""
        self._database.abandon()

    def _undamaged(self, rows: list[Any]) -> list[SpooledBatch]:
        """Return the batches whose checksum matches, and move the others to the quarantine."""
        undamaged = []
        for key, lane, epoch, sequence, number, body, crc in rows:
            if zlib.crc32(body) == crc:
                undamaged.append(SpooledBatch(key, LANE_OF[lane], int(epoch, 16), sequence, number, bytes(body)))
                continue
            with self._transaction() as db:
                statements.quarantine(db, LANE_OF[lane], body, "checksum mismatch")
                self._count_loss(db, "rows_unreadable", number)
                freed = statements.delete_batches(db, [key])
            self._database.fold_soon()
            self._bytes -= freed
        return undamaged
