"""Sequence numbers of an epoch that the cloud has stored, kept in the table with optimistic updates.

A missing number below the highest received one is a gap. Batches may overtake one another, so only a gap that persists
matters: ``gap_since_ms`` is the cloud's time at which the lowest missing number began to be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from cloud_functions.core import keys
from cloud_functions.core.errors import ConflictError
from cloud_functions.core.ports import Item, Key, NowMs, Table
from wire.acknowledgement import SequenceSet

ATTEMPTS = 12
MAX_KEPT_RANGES = 1_024
"""Maximum ranges above the cumulative number (the newest are kept), so that an item stays small."""


class ReceivedSequences:
    """Received sequence numbers by gateway and epoch."""

    def __init__(self, table: Table, now_ms: NowMs) -> None:
        self._table, self._now_ms = table, now_ms

    def add(self, gateway: str, epoch: int, sequences: Iterable[int]) -> SequenceSet:
        """Add sequence numbers and return all received ones; raises ConflictError after repeated conflicts."""
        key, wanted = keys.acknowledgement(gateway, epoch), sorted(sequences)
        for _ in range(ATTEMPTS):
            item = self._table.get(key)
            held = received_of(item)
            if not [sequence for sequence in wanted if held.add(sequence)]:
                return held
            version = int(item["version"]) if item else 0
            if self._table.replace(_item(key, item, held, self._now_ms()), version):
                return held
        raise ConflictError(f"{key.pk} {key.sk}: changed by others {ATTEMPTS} times in a row")


def _item(key: Key, before: Item | None, held: SequenceSet, now_ms: int) -> Item:
    before = before or {}
    fresh: Item = {
        "pk": key.pk,
        "sk": key.sk,
        "kind": "ack",
        "cumulative": held.cumulative,
        "ranges": json.dumps(held.ranges[-MAX_KEPT_RANGES:], separators=(",", ":")),
        "first_ms": before.get("first_ms", now_ms),
        "changed_ms": now_ms,
    }
    if held.ranges:
        # The time restarts when another gap becomes the lowest: on a busy gateway short gaps are normal.
        same = before.get("cumulative", 0) == held.cumulative
        fresh["gap_since_ms"] = before.get("gap_since_ms", now_ms) if same else now_ms
    return fresh


def received_of(item: Item | None) -> SequenceSet:
    """Return the sequence numbers stored in an item."""
    if item is None:
        return SequenceSet()
    return SequenceSet(int(item["cumulative"]), ((int(a), int(b)) for a, b in json.loads(str(item["ranges"]))))
