"""Sequence numbers of an epoch that the cloud has stored, kept in the table with optimistic updates.

The same conditional write adds what the batches hold to the epoch's totals, so that they cover exactly the sequence
numbers in the item, however often a batch comes and wherever the function dies.

A missing number below the highest received one is a gap. Batches may overtake one another, so only a gap that persists
matters: ``gap_since_ms`` is the cloud's time at which the lowest missing number began to be missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from cloud_functions.core import keys
from cloud_functions.core.errors import ConflictError
from cloud_functions.core.ports import Item, Key, NowMs, Table
from wire.acknowledgement import SequenceSet

ATTEMPTS = 12
MAX_KEPT_RANGES = 1_024
"""Maximum ranges above the cumulative number (the newest are kept), so that an item stays small."""


TOTALS = ("batches", "rows", "bytes", "profiles")
"""What an epoch's item counts of the stored batches."""
Amounts = Mapping[str, int]


class ReceivedSequences:
    """Received sequence numbers by gateway and epoch."""

    def __init__(self, table: Table, now_ms: NowMs) -> None:
        self._table, self._now_ms = table, now_ms

    def add(
        self, gateway: str, epoch: int, sequences: Iterable[int], amounts: Mapping[int, Amounts] | None = None
    ) -> SequenceSet:
        """Add sequence numbers and return all received ones; raises ConflictError after repeated conflicts.

        ``amounts`` are what each batch adds to the totals; a sequence number that is there already adds nothing.
        """
        key, wanted = keys.acknowledgement(gateway, epoch), sorted(sequences)
        for _ in range(ATTEMPTS):
            item = self._table.get(key)
            held = received_of(item)
            new = [sequence for sequence in wanted if held.add(sequence)]
            if not new:
                return held
            totals = Counter(totals_of(item))
            for sequence in new:
                totals.update((amounts or {}).get(sequence, {}))
            version = int(item["version"]) if item else 0
            if self._table.replace(_item(key, item, held, totals, self._now_ms()), version):
                return held
        raise ConflictError(f"{key.pk} {key.sk}: changed by others {ATTEMPTS} times in a row")


def _item(key: Key, before: Item | None, held: SequenceSet, totals: Amounts, now_ms: int) -> Item:
    before = before or {}
    fresh: Item = {
        "pk": key.pk,
        "sk": key.sk,
        "kind": "ack",
        "cumulative": held.cumulative,
        "ranges": json.dumps(held.ranges[-MAX_KEPT_RANGES:], separators=(",", ":")),
        "first_ms": before.get("first_ms", now_ms),
        "changed_ms": now_ms,
        **{name: number for name, number in totals.items() if number},
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


def totals_of(item: Item | None) -> dict[str, int]:
    """Return the totals of an epoch's item."""
    return {name: int((item or {}).get(name, 0)) for name in TOTALS}
