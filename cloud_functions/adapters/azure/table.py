"""Implementation of :class:`cloud_functions.core.ports.Table` with Azure Table storage.

The condition of a write is the ETag of the entity whose version was read. What belongs to an item, its entity in the
index by time and its entry in the log of changes, is written in one transaction with it.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from cloud_functions.adapters.azure import table_indexes as indexes
from cloud_functions.adapters.azure.service import status_of, store_errors
from cloud_functions.adapters.azure.table_changes import ChangeLog
from cloud_functions.adapters.azure.table_entities import properties, size_of, to_entity, to_item
from cloud_functions.adapters.azure.table_indexes import OTHERS
from cloud_functions.adapters.azure.table_keys import encode, quoted
from cloud_functions.core.errors import ConflictError, StoreError
from cloud_functions.core.ports import Item, Key, Value

T = TypeVar("T")
Operation = tuple[Any, ...]
MAX_OPERATIONS, MAX_TRANSACTION_BYTES = 100, 3_000_000
"""Limits of a transaction; the service takes 4 MiB."""
_ATTEMPTS = 20
_PAGE = 100
_DENSITY = 2
"""Entities that a query may read for each one that is wanted."""


class AzureTable:
    """A table; ``changes`` is its log of changes, if it has one, and ``sleep`` waits between conflicting additions."""

    def __init__(
        self, client: TableClient, changes: ChangeLog | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._changes, self._sleep = client, changes, sleep

    def get(self, key: Key) -> Item | None:
        """Return the item; every read of Table storage is consistent."""
        entity = self._entity(key)
        return None if entity is None else to_item(entity)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return the items of those keys that exist; those of a partition by one query if they lie close together."""
        found: dict[Key, Item] = {}
        for pk, wanted in _by_partition(keys, lambda key: key.pk).items():
            found |= self._dense(pk, wanted)
        return found

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items unconditionally; return when all are written."""
        for pk, group in _by_partition(items, lambda item: str(item["pk"])).items():
            units: list[list[Operation]] = []
            captured = False
            for item in group:
                if (entity := indexes.by_state(item)) is not None:
                    self._upsert(entity)
                unit = [("upsert", to_entity(item), {"mode": UpdateMode.REPLACE}), *self._beside(None, item)]
                captured = captured or (self._changes is not None and self._changes.captures(None, item))
                units.append(unit)
            self._write_captured(pk, units, captured=captured)

    def put_new(self, item: Item) -> Item | None:
        """Write the item if its key is free and return None, else return the existing item."""
        if self._create(item):
            return None
        there = self.get(Key(str(item["pk"]), str(item["sk"])))
        if there is None:
            raise StoreError(f"put {item['pk']!s} {item['sk']!s}: taken a moment ago and free again")
        return there

    def replace(self, item: Item, version: int) -> bool:
        """Write the item with ``version`` + 1 if the existing one has ``version`` (0: absent); True if written."""
        fresh = item | {"version": version + 1}
        if version == 0:
            return self._create(fresh)
        key = Key(str(item["pk"]), str(item["sk"]))
        there = self._entity(key)
        if there is None or (before := to_item(there)).get("version") != version:
            return False
        condition = {"etag": there.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
        first = ("update", to_entity(fresh), {"mode": UpdateMode.REPLACE, **condition})
        return self._change(first, before, fresh)

    def delete(self, key: Key, version: int) -> bool:
        """Delete the item if it has ``version``; return True if it was deleted."""
        there = self._entity(key)
        if there is None or (before := to_item(there)).get("version") != version:
            return False
        condition = {"etag": there.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
        operations: list[Operation] = [("delete", _address(key), condition)]
        if (entity := indexes.by_time(before)) is not None:
            operations.append(("delete", _only_address(entity)))
        return self._try(operations, f"delete {key.pk} {key.sk}")

    def remove(self, found: Iterable[Key]) -> None:
        """Remove items; a missing one is not an error. Returns when all are removed."""
        for pk, group in _by_partition(found, lambda key: key.pk).items():
            there = self._dense(pk, group)
            units: list[list[Operation]] = []
            for key, item in there.items():
                unit: list[Operation] = [("delete", _address(key))]
                if (entity := indexes.by_time(item)) is not None:
                    unit.append(("delete", _only_address(entity)))
                units.append(unit)
            listed = [entity for item in there.values() if (entity := indexes.by_state(item)) is not None]
            for operations in _transactions(units):
                if not self._try(operations, f"remove items of {pk}"):
                    self._remove_each(operations)
            self._remove_each([("delete", _only_address(entity)) for entity in listed])

    def add(
        self, key: Key, amounts: Mapping[str, int], values: Mapping[str, Value], first: Mapping[str, Value]
    ) -> None:
        """Add to numbers, set ``values``, and set ``first`` where absent; repeated when another writer interferes."""
        for attempt in range(_ATTEMPTS):
            self._back_off(attempt)
            there = self._entity(key)
            item: Item = {} if there is None else to_item(there)
            fresh: Item = {name: value for name, value in first.items() if name not in item}
            fresh |= {name: int(item.get(name, 0)) + amount for name, amount in amounts.items()} | dict(values)
            entity = _address(key) | properties(fresh)
            if there is None:
                operation: Operation = ("create", entity)
            else:
                condition = {"etag": there.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
                operation = ("update", entity, {"mode": UpdateMode.MERGE, **condition})
            if self._try([operation], f"update {key.pk} {key.sk}"):
                return
        raise ConflictError(f"{key.pk} {key.sk}: changed by others {_ATTEMPTS} times in a row")

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items whose sort key lies in [first, last], in its order.

        Table storage reads in one direction only: with ``newest_first`` the whole range is read before the first item.
        """
        found = map(to_item, self._range(encode(pk), encode(first), encode(last), below=OTHERS))
        yield from reversed(list(found)) if newest_first else found

    def query_index(
        self, index: str, value: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False
    ) -> Iterator[Item]:
        """Yield the items under ``value`` of an index whose sort key there lies in [first, last], in order."""
        entities = self._range(*indexes.span(index, value, first, last))
        if newest_first:
            entities = iter(list(entities)[::-1])
        while page := list(itertools.islice(entities, _PAGE)):
            items = self.get_many([indexes.key_of(index, value, entity) for entity in page])
            for entity in page:
                item = items.get(indexes.key_of(index, value, entity))
                if item is not None and indexes.is_current(index, value, entity, item):
                    yield item

    def _create(self, item: Item) -> bool:
        return self._change(("create", to_entity(item)), None, item)

    def _change(self, first: Operation, before: Item | None, item: Item) -> bool:
        """Write an item by its conditional operation, with what belongs to it; False if the condition is not met."""
        entering, leaving = indexes.by_state(item), None if before is None else indexes.by_state(before)
        moved = entering != leaving
        leaving_etag = self._etag(leaving) if moved and leaving is not None else None
        if moved and entering is not None:
            self._upsert(entering)
        captured = self._changes is not None and self._changes.captures(before, item)
        if captured and self._changes is not None:
            self._changes.announce(str(item["pk"]))
        if not self._try([first, *self._beside(before, item)], f"put {item['pk']!s} {item['sk']!s}"):
            return False
        if leaving is not None and leaving_etag is not None:
            condition = {"etag": leaving_etag, "match_condition": MatchConditions.IfNotModified}
            self._try([("delete", _only_address(leaving), condition)], f"update the index of {item['pk']!s}")
        if captured and self._changes is not None:
            self._changes.wake(str(item["pk"]))
        return True

    def _beside(self, before: Item | None, item: Item) -> list[Operation]:
        """Return the operations that belong to the transaction of an item."""
        operations: list[Operation] = []
        new, old = indexes.by_time(item), None if before is None else indexes.by_time(before)
        if new is not None:
            operations.append(("upsert", new, {"mode": UpdateMode.REPLACE}))
        if old is not None and (new is None or new["RowKey"] != old["RowKey"]):
            operations.append(("delete", _only_address(old)))
        if self._changes is not None and self._changes.captures(before, item):
            operations.append(("upsert", self._changes.entity(before, item), {"mode": UpdateMode.REPLACE}))
        return operations

    def _write_captured(self, pk: str, units: list[list[Operation]], *, captured: bool) -> None:
        if captured and self._changes is not None:
            self._changes.announce(pk)
        for operations in _transactions(units):
            with store_errors(f"write items of {pk}"):
                self._submit(operations)
        if captured and self._changes is not None:
            self._changes.wake(pk)

    def _dense(self, pk: str, wanted: Sequence[Key]) -> dict[Key, Item]:
        found: dict[Key, Item] = {}
        missing = list(wanted)
        if len(wanted) > 2:
            names = sorted(key.sk for key in wanted)
            most, chosen = _DENSITY * len(wanted), set(wanted)
            items = list(itertools.islice(self.query(pk, names[0], names[-1]), most + 1))
            found = {key: item for item in items if (key := Key(pk, str(item["sk"]))) in chosen}
            missing = [key for key in wanted if key not in found] if len(items) > most else []
        return found | {key: item for key in missing if (item := self.get(key)) is not None}

    def _entity(self, key: Key) -> Any:
        try:
            with store_errors(f"get {key.pk} {key.sk}"):
                return self._client.get_entity(encode(key.pk), encode(key.sk))
        except StoreError as error:
            if _is_missing(error):
                return None
            raise

    def _etag(self, entity: dict[str, Any]) -> str | None:
        address = indexes.address_of(entity)
        try:
            with store_errors("read an index"):
                return str(self._client.get_entity(*address).metadata["etag"])
        except StoreError as error:
            if _is_missing(error):
                return None
            raise

    def _range(self, partition: str, first: str, last: str, below: str = "") -> Iterator[Any]:
        wanted = f"PartitionKey eq {quoted(partition)} and RowKey ge {quoted(first)} and RowKey le {quoted(last)}"
        if below:
            wanted += f" and RowKey lt {quoted(below)}"
        with store_errors(f"query {partition}"):
            yield from self._client.query_entities(wanted)

    def _upsert(self, entity: dict[str, Any]) -> None:
        with store_errors("write an index"):
            self._client.upsert_entity(entity, UpdateMode.REPLACE)

    def _try(self, operations: list[Operation], what: str) -> bool:
        """Run a transaction; return False if the condition of a write is not met."""
        try:
            with store_errors(what):
                self._submit(operations)
        except StoreError as error:
            if status_of(error.__cause__) in (404, 409, 412) and _is_refused(error):
                return False
            raise
        return True

    def _submit(self, operations: list[Operation]) -> None:
        """Send one operation as a request of its own, which needs half the bytes of a transaction."""
        if len(operations) > 1:
            self._client.submit_transaction(operations)
            return
        name, entity, *options = operations[0]
        more = options[0] if options else {}
        if name == "create":
            self._client.create_entity(entity)
        elif name == "update":
            self._client.update_entity(entity, **more)
        elif name == "upsert":
            self._client.upsert_entity(entity, **more)
        else:
            self._client.delete_entity(entity, **more)

    def _remove_each(self, operations: list[Operation]) -> None:
        """Delete entities one after the other, some of which are missing."""
        for operation in operations:
            self._try([operation], "remove an item")

    def _back_off(self, attempt: int) -> None:
        if attempt:
            self._sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))  # noqa: S311 - not a secret


_REFUSED = ("EntityAlreadyExists", "UpdateConditionNotSatisfied", "ResourceNotFound", "EntityNotFound")


def _is_refused(error: StoreError) -> bool:
    """Return True for an unmet condition: a missing table has the same status as a missing entity."""
    cause = error.__cause__
    code = str(getattr(cause, "error_code", "") or "")
    text = f"{code} {cause}"
    return isinstance(cause, HttpResponseError) and any(name in text for name in _REFUSED)


def _is_missing(error: StoreError) -> bool:
    return isinstance(error.__cause__, ResourceNotFoundError) and "TableNotFound" not in str(error)


def _address(key: Key) -> dict[str, Any]:
    return {"PartitionKey": encode(key.pk), "RowKey": encode(key.sk)}


def _only_address(entity: dict[str, Any]) -> dict[str, Any]:
    return {"PartitionKey": entity["PartitionKey"], "RowKey": entity["RowKey"]}


def _by_partition(things: Iterable[T], partition: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for thing in things:
        groups[partition(thing)].append(thing)
    return groups


def _transactions(units: Iterable[list[Operation]]) -> Iterator[list[Operation]]:
    """Yield transactions within the limits; the operations of a unit stay together."""
    waiting: list[Operation] = []
    size = 0
    for unit in units:
        bytes_ = sum(size_of(operation[1]) for operation in unit)
        if waiting and (len(waiting) + len(unit) > MAX_OPERATIONS or size + bytes_ > MAX_TRANSACTION_BYTES):
            yield waiting
            waiting, size = [], 0
        waiting += unit
        size += bytes_
    if waiting:
        yield waiting
