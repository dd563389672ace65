"""Changes of a table, which Table storage has no stream of: entities beside the items, written in their transactions.

Before a change is written, its partition is announced in the list of changed partitions; after it, the partition is
handed to ``wake``, which lets the function of alerting read the changes at once. A function that stops before that
leaves the announcement, which the timer follows. An announcement is removed when it is older than any function runs, so
not between it and the write of a change, and when its partition has no change any more.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from cloud_functions.adapters.azure.service import store_errors
from cloud_functions.adapters.azure.table_entities import properties, to_item
from cloud_functions.adapters.azure.table_indexes import Address
from cloud_functions.adapters.azure.table_keys import LAST, compound, decode, encode, quoted
from cloud_functions.adapters.change_relay import KEPT_MS, Captured, Change, from_plain, to_plain
from cloud_functions.core.ports import Item, NowMs

CHANGE, CHANGED = "~change:", "~changed:"
_RENEWED_MS = 120_000
"""Age at which a process announces a partition again."""


class ChangeLog:
    """The changes of a table; ``wake`` gets the partition key of each change that was written."""

    def __init__(self, client: TableClient, captured: Captured, now_ms: NowMs, wake: Callable[[str], None]) -> None:
        self._client, self._captured, self._now_ms, self._wake = client, captured, now_ms, wake
        self._announced: dict[str, int] = {}

    def captures(self, old: Item | None, new: Item) -> bool:
        """Return True for a change that is stored."""
        return self._captured(old, new)

    def entity(self, old: Item | None, new: Item) -> dict[str, Any]:
        """Return the entity of a change: the same for a repetition of a write."""
        row = compound(CHANGE, (str(new["sk"]), f"{int(new.get('version', 0)):013d}"))
        images = {name: _to_json(item) for name, item in (("new", new), ("old", old)) if item is not None}
        return {"PartitionKey": encode(str(new["pk"])), "RowKey": row} | properties(images)

    def announce(self, pk: str) -> None:
        """Announce that a change of a partition is about to be written; raises StoreError."""
        now_ms = self._now_ms()
        if now_ms - self._announced.get(pk, -_RENEWED_MS) < _RENEWED_MS:
            return
        with store_errors(f"announce a change of {pk}"):
            self._client.upsert_entity({"PartitionKey": CHANGED, "RowKey": encode(pk)}, UpdateMode.REPLACE)
        if len(self._announced) > 1_000:
            self._announced.clear()
        self._announced[pk] = now_ms

    def wake(self, pk: str) -> None:
        """Let the changes of a partition be processed now."""
        self._wake(pk)

    def of(self, pk: str) -> Iterator[Change]:
        """Yield the changes of a partition, those of each item in their order; raises StoreError."""
        low, high = quoted(CHANGE), quoted(CHANGE + LAST)
        wanted = f"PartitionKey eq {quoted(encode(pk))} and RowKey ge {low} and RowKey le {high}"
        with store_errors(f"read the changes of {pk}"):
            for entity in self._client.query_entities(wanted):
                images = to_item(entity)
                old = images.get("old")
                address = Address(str(entity["PartitionKey"]), str(entity["RowKey"]))
                yield Change(
                    address,
                    None if old is None else from_plain(json.loads(str(old))),
                    from_plain(json.loads(str(images["new"]))),
                )

    def remove(self, changes: Iterable[Change]) -> None:
        """Remove changes that were processed; a missing one is not an error. Raises StoreError."""
        for change in changes:
            with store_errors("remove a change"):
                self._client.delete_entity(change.address.partition, change.address.row)

    def partitions(self) -> Iterator[str]:
        """Yield the partitions that may have changes; raises StoreError."""
        oldest = datetime.datetime.fromtimestamp((self._now_ms() - KEPT_MS) / 1000, datetime.UTC)
        with store_errors("read the changed partitions"):
            for entity in self._client.query_entities(f"PartitionKey eq {quoted(CHANGED)}"):
                pk = decode(str(entity["RowKey"]))
                yield pk
                written = entity.metadata["timestamp"]
                if written is not None and written < oldest and next(self.of(pk), None) is None:
                    self._forget(entity)

    def _forget(self, entity: Any) -> None:
        try:
            self._client.delete_entity(
                entity, etag=entity.metadata["etag"], match_condition=MatchConditions.IfNotModified
            )
        except (ResourceModifiedError, ResourceNotFoundError):
            return


def _to_json(item: Item) -> str:
    return json.dumps(to_plain(item), separators=(",", ":"))
