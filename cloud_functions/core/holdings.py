"""Which batches of an epoch the cloud holds, kept in the table and changed only on top of what was read.

A number below the highest held that did not come is a gap. Batches overtake one another, so a gap is news only when it
stays: ``gap_since_ms`` is the cloud's clock when the lowest missing number began to be missing.
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
"""Ranges kept above the cumulative number, the newest, so that an item stays small whatever a gateway sends."""


class Holdings:
    """The sequence numbers held, by gateway and epoch."""

    def __init__(self, table: Table, now_ms: NowMs) -> None:
        self._table, self._now_ms = table, now_ms

    def add(self, gateway: str, epoch: int, sequences: Iterable[int]) -> SequenceSet:
        """Add sequence numbers and return all that is held; raises ConflictError if others kept changing it."""
        key, wanted = keys.acknowledgement(gateway, epoch), sorted(sequences)
        for _ in range(ATTEMPTS):
            item = self._table.get(key)
            held = held_of(item)
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
        # The next lowest gap counts from when it became the lowest: on a busy gateway gaps come and go all the time.
        same = before.get("cumulative", 0) == held.cumulative
        fresh["gap_since_ms"] = before.get("gap_since_ms", now_ms) if same else now_ms
    return fresh


def held_of(item: Item | None) -> SequenceSet:
    """Return the sequence numbers that an item keeps."""
    if item is None:
        return SequenceSet()
    return SequenceSet(int(item["cumulative"]), ((int(a), int(b)) for a, b in json.loads(str(item["ranges"]))))
