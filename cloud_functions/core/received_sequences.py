"""Sequence numbers of an epoch that the cloud has stored, and the figures of its batches, in one item of the table.

One conditional write per invocation and epoch records the sequence numbers and adds the batches to the totals, so that
the totals cover exactly the recorded numbers, even if a batch arrives several times or the function crashes.

A missing number below the highest received one is a gap. Batches may overtake one another, so only a gap that persists
matters: ``gap_since_ms`` is the cloud's time at which the lowest missing number began to be missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cloud_functions.core import keys
from cloud_functions.core.errors import ConflictError
from cloud_functions.core.ports import Item, Key, NowMs, Table
from wire.acknowledgement import SequenceSet

ATTEMPTS = 12
MAX_KEPT_RANGES = 1_024
"""Maximum ranges above the cumulative number (the newest are kept), so that an item stays small."""


TOTALS = ("batches", "rows", "bytes", "profiles")
"""Amounts of the stored batches: each batch is counted once."""
EVENTS = ("duplicates", "acknowledgements")
"""Numbers of events, which may repeat."""
Amounts = Mapping[str, int]


@dataclass(slots=True)
class Received:
    """Batches of one epoch that an invocation accepted.

    ``sequences`` are their numbers with the amounts that each adds to the totals, ``events`` further counts, and
    ``seen_ms`` is the latest arrival time.
    """

    sequences: dict[int, Amounts] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    seen_ms: int = 0


class ReceivedSequences:
    """Received sequence numbers by gateway and epoch."""

    def __init__(self, table: Table, now_ms: NowMs) -> None:
        self._table, self._now_ms = table, now_ms

    def read(self, epochs: Iterable[tuple[str, int]]) -> dict[Key, Item]:
        """Return the items of epochs, as (gateway, epoch), by key: one request, which may miss the last writes."""
        return self._table.get_many([keys.acknowledgement(*epoch) for epoch in epochs])

    def add(self, gateway: str, epoch: int, received: Received, known: Mapping[Key, Item] | None = None) -> SequenceSet:
        """Record an invocation's batches and return all received numbers; raises ConflictError after many conflicts.

        A number that is recorded already adds nothing to the totals. ``known`` are items that :meth:`read` returned:
        an outdated one fails the condition of the write, and is read again.
        """
        key = keys.acknowledgement(gateway, epoch)
        for attempt in range(ATTEMPTS):
            item = known[key] if not attempt and known and key in known else self._table.get(key)
            held = received_of(item)
            if not received.sequences:
                return held
            counts = Counter(counts_of(item))
            counts.update(received.events)
            for sequence in sorted(received.sequences):
                if held.add(sequence):
                    counts.update(received.sequences[sequence])
            version = int(item["version"]) if item else 0
            fresh = _item(key, item, held, counts, self._now_ms())
            fresh["seen_ms"] = max(received.seen_ms, int((item or {}).get("seen_ms", 0)))
            if self._table.replace(fresh, version):
                return held
        raise ConflictError(f"{key.pk} {key.sk}: changed by others {ATTEMPTS} times in a row")


def _item(key: Key, before: Item | None, held: SequenceSet, counts: Amounts, now_ms: int) -> Item:
    before = before or {}
    fresh: Item = {
        "pk": key.pk,
        "sk": key.sk,
        "kind": "ack",
        "cumulative": held.cumulative,
        "ranges": json.dumps(held.ranges[-MAX_KEPT_RANGES:], separators=(",", ":")),
        "first_ms": before.get("first_ms", now_ms),
        "changed_ms": now_ms,
        **{name: number for name, number in counts.items() if number},
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


def counts_of(item: Item | None) -> dict[str, int]:
    """Return totals and numbers of events of an epoch's item."""
    return {name: int((item or {}).get(name, 0)) for name in (*TOTALS, *EVENTS)}
