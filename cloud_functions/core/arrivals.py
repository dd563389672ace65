"""Batches of a gateway that arrived since the last evaluation, each exactly once, in the order of arrival.

Batches of an epoch have increasing numbers, so new ones are read by one range of keys; a number that was missing is
looked for again. Batches that were posted over HTTP have no common epoch and are found by the time of their rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from cloud_functions.core import keys
from cloud_functions.core.batches import StoredBatch, overlapping
from cloud_functions.core.ports import Item, Table
from cloud_functions.core.received_sequences import received_of
from cloud_functions.core.watched import MAX_MISSING, Watched

MAX_BATCHES = 60
"""Batches of a gateway that one evaluation reads; the next one continues."""
FIRST_MS = 3_600_000
"""Age of an epoch up to which its batches are read when a gateway is watched for the first time."""
HTTP_BACK_MS, HTTP_AHEAD_MS = 3_600_000, 86_400_000
"""Time range around the present in which posted rows are looked for; older ones are stored, but not evaluated."""
OVERLAP_MS = 10_000
_HTTP = "http"


def new_batches(
    table: Table, gateway: str, epochs: Mapping[str, Item], posted: bool, watched: Watched, now_ms: int
) -> list[StoredBatch]:
    """Return the new batches with rows, and advance the progress; ``epochs`` are the items of received sequences."""
    found: list[StoredBatch] = []
    for epoch, item in epochs.items():
        if epoch not in watched.epochs:
            recent = now_ms - int(item.get("first_ms", 0)) <= FIRST_MS
            watched.epochs[epoch] = 0 if recent else _highest(item)
        found += _of_epoch(table, gateway, epoch, watched)
    found += _that_were_missing(table, gateway, watched)
    if posted:
        found += _posted(table, gateway, watched, now_ms)
    return sorted(found, key=lambda batch: (batch.received_ms, batch.epoch, batch.sequence))


def _of_epoch(table: Table, gateway: str, epoch: str, watched: Watched) -> list[StoredBatch]:
    read = watched.epochs[epoch]
    first = keys.batch(gateway, int(epoch, 16), read + 1)
    items = table.query(first.pk, first.sk, f"{epoch}#\x7f")
    batches = [StoredBatch.of(item) for item in itertools.islice(items, MAX_BATCHES)]
    for batch in batches:
        gap = range(read + 1, batch.sequence)
        watched.missing += [(epoch, number) for number in gap[-MAX_MISSING:]]
        read = batch.sequence
    watched.epochs[epoch] = read
    return _with_rows(batches)


def _that_were_missing(table: Table, gateway: str, watched: Watched) -> list[StoredBatch]:
    wanted = watched.missing[-MAX_MISSING:]
    if not wanted:
        return []
    names = {keys.batch(gateway, int(epoch, 16), number): (epoch, number) for epoch, number in wanted}
    there = table.get_many(sorted(names))
    watched.missing = [name for key, name in names.items() if key not in there]
    return _with_rows(StoredBatch.of(item) for item in there.values())


def _posted(table: Table, gateway: str, watched: Watched, now_ms: int) -> list[StoredBatch]:
    found = []
    known = set(watched.http_recent)
    for batch in overlapping(table, gateway, now_ms - HTTP_BACK_MS, now_ms + HTTP_AHEAD_MS):
        name = keys.batch_name(batch.epoch, batch.sequence)
        if batch.lane == _HTTP and batch.received_ms > watched.http_ms - OVERLAP_MS and name not in known:
            found.append(batch)
    if found:
        watched.http_ms = max(watched.http_ms, *(batch.received_ms for batch in found))
        fresh = [batch for batch in found if batch.received_ms > watched.http_ms - OVERLAP_MS]
        names = [keys.batch_name(batch.epoch, batch.sequence) for batch in fresh]
        watched.http_recent = [*watched.http_recent, *names]
    return _with_rows(found)


def _with_rows(batches: Iterable[StoredBatch]) -> list[StoredBatch]:
    return [batch for batch in batches if batch.has_rows and batch.data and batch.rows]


def _highest(item: Item) -> int:
    """Return the highest sequence number of an item of received sequences."""
    return received_of(item).highest
