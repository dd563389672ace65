"""Overflow of the spool: merge the oldest bulk rows into wider windows, and then drop the oldest batches.

Only batches that were never sent are merged, because the cloud may have stored the others. Every row that is merged or
dropped is counted in the spool's losses, which are sent to the cloud.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_components.common.limited_log import RateLimitedLog
from edge_components.forwarder.batching import Batcher, RejectedRows
from edge_components.forwarder.spool.coarsening import coarsen
from edge_components.forwarder.spool.entries import SpooledBatch
from edge_components.forwarder.spool.spool import Spool
from wire import codec
from wire.errors import WireError
from wire.model import Aggregates
from wire.topics import Lane

MERGED_BATCHES = 16
FACTOR = 4
MAX_RATIO = 0.9
"""Maximum ratio of the bytes after a merge to those before it; otherwise the merge is not made."""


class Overflow:
    """Frees space in a spool; ``room`` is the maximum size of packed rows, ``max_width_ms`` the widest window."""

    def __init__(self, spool: Spool, room: int, max_width_ms: int, log: RateLimitedLog) -> None:
        self._spool, self._room, self._log = spool, room, log
        self._max_width_ms = max_width_ms

    def make_room(self, needed: int, wall_ms: int) -> bool:
        """Free space until ``needed`` bytes fit and return whether they do; raises SpoolError."""
        while self._spool.size + needed > self._spool.max_bytes:
            if self._merge(wall_ms):
                continue
            dropped = self._spool.drop_oldest()
            if dropped is None:
                return False
            self._log.warning("dropped_rows", f"spool full: the oldest batch of lane {dropped[0]}", dropped[1])
        return True

    def _merge(self, wall_ms: int) -> bool:
        """Merge the oldest unsent batches and return whether that freed enough to be worth its loss of detail."""
        old, parts = [], []
        for batch, rows in self._mergeable():
            old.append(batch)
            parts.append(coarsen(rows, FACTOR))
            if len(old) == MERGED_BATCHES:
                break
        if len(old) < 2:
            return False
        # Coarsen once more: a wide window often spans two batches.
        merged = coarsen(Aggregates.concatenate(parts), 1)
        new = self._pack(merged)
        before, after = sum(len(batch.body) for batch in old), sum(len(body) for body, _ in new)
        if not new or after > before * MAX_RATIO:
            return False
        self._spool.replace(old, new, wall_ms)
        text = f"spool full: {len(old)} batches are merged into {len(new)} of wider windows"
        self._log.warning("rows_merged", text, sum(batch.rows for batch in old) - len(merged))
        return True

    def _mergeable(self) -> Iterable[tuple[SpooledBatch, Aggregates]]:
        for lane in (Lane.BACKFILL, Lane.BULK):
            for batch in self._spool.unsent(lane, 4 * MERGED_BATCHES):
                if not batch.rows:  # a profile
                    continue
                try:
                    rows = codec.unpack(batch.body)
                except WireError as error:
                    self._log.error("batches_unreadable", f"a batch in the spool: {error}")
                    continue
                if (
                    isinstance(rows, Aggregates)
                    and len(rows)
                    and not rows.revision.any()  # a revision replaces a window of the same width
                    and int(rows.width_ms.max()) * FACTOR <= self._max_width_ms
                ):
                    yield batch, rows

    def _pack(self, rows: Aggregates) -> list[tuple[bytes, int]]:
        """Return (body, rows) of batches; an empty list if a row does not fit into a batch."""
        rejected: list[RejectedRows] = []
        batcher = Batcher(codec.pack, self._room, 0.0, rejected.append)
        batcher.add(Lane.BACKFILL, rows, 0.0)
        bodies = [(formed.body, len(formed.rows)) for formed in batcher.flush()]
        return [] if rejected else bodies
