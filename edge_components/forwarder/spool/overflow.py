"""What a full spool does: merge the oldest bulk rows into coarser windows, and only then drop the oldest batch.

Merging touches only batches that were never sent, for the cloud may have the others. Every row merged or dropped is
counted in the spool's losses, which are sent to the cloud.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from edge_components.forwarder.batching import Batcher, RejectedRows
from edge_components.forwarder.spool.coarsening import coarsen
from edge_components.forwarder.spool.entries import SpooledBatch
from edge_components.forwarder.spool.spool import Spool
from wire import codec
from wire.errors import WireError
from wire.model import Aggregates
from wire.topics import Lane

AT_ONCE = 16
FACTOR = 4
WORTH = 0.9
"""A merge that leaves more than this share of the bytes is not worth the detail it costs."""


class Overflow:
    """Makes room in a spool; ``room`` is the size of packed rows, ``max_width_ms`` the coarsest window."""

    def __init__(self, spool: Spool, gateway: str, room: int, max_width_ms: int, log: logging.Logger) -> None:
        self._spool, self._gateway, self._room, self._log = spool, gateway, room, log
        self._max_width_ms = max_width_ms

    def make_room(self, needed: int, wall_ms: int) -> bool:
        """Free space until ``needed`` bytes fit and return whether they do; raises SpoolError."""
        while self._spool.size + needed > self._spool.max_bytes:
            if self._merge(wall_ms):
                continue
            dropped = self._spool.drop_oldest()
            if dropped is None:
                return False
            self._log.warning("spool full: dropped %d rows of lane %s", dropped[1], dropped[0])
        return True

    def _merge(self, wall_ms: int) -> bool:
        """Merge the oldest unsent batches; False when there is nothing left that is worth merging."""
        old, parts = [], []
        for batch, rows in self._mergeable():
            old.append(batch)
            parts.append(coarsen(rows, FACTOR))
            if len(old) == AT_ONCE:
                break
        if len(old) < 2:
            return False
        # Again over the whole: a coarse window often spans two batches.
        merged = coarsen(Aggregates.concatenate(parts), 1)
        new = self._pack(merged)
        before, after = sum(len(batch.body) for batch in old), sum(len(body) for body, _ in new)
        if not new or after > before * WORTH:
            return False
        self._spool.replace(old, new, wall_ms)
        self._log.warning(
            "spool full: merged %d batches into %d of coarser windows", len(old), len(new),
            extra={"fields": {"rows_before": sum(batch.rows for batch in old), "rows_after": len(merged)}},
        )  # fmt: skip
        return True

    def _mergeable(self) -> Iterable[tuple[SpooledBatch, Aggregates]]:
        for lane in (Lane.BACKFILL, Lane.BULK):
            for batch in self._spool.unsent(lane, 4 * AT_ONCE):
                if not batch.rows:  # a profile
                    continue
                try:
                    rows = codec.decode(codec.seal(self._gateway, 0, 1, batch.body)).rows
                except WireError as error:
                    self._log.error("a batch in the spool cannot be read: %s", error)
                    continue
                if (
                    isinstance(rows, Aggregates)
                    and len(rows)
                    and not rows.revision.any()  # a revision replaces a window of the same width
                    and int(rows.width_ms.max()) * FACTOR <= self._max_width_ms
                ):
                    yield batch, rows

    def _pack(self, rows: Aggregates) -> list[tuple[bytes, int]]:
        """Return bodies that each fit a batch; an empty list when a row does not (it then stays as it is)."""
        refused: list[RejectedRows] = []
        batcher = Batcher(codec.pack, self._room, 0.0, refused.append)
        batcher.add(Lane.BACKFILL, rows, 0.0)
        bodies = [(filled.body, len(filled.rows)) for filled in batcher.flush()]
        return [] if refused else bodies
