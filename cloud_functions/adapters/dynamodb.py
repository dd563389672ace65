"""A DynamoDB table behind :class:`cloud_functions.core.ports.Table`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from cloud_functions.adapters.aws import client, error_code, store_errors
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import Item, Key, Value

_WRITE_BATCH, _READ_BATCH = 25, 100
_ATTEMPTS = 8


class DynamoTable:
    """A table, by name; ``dynamodb`` is a boto3 client, and ``sleep`` waits between tries of what was throttled."""

    def __init__(self, name: str, dynamodb: Any = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._name, self._sleep = name, sleep
        self._client = dynamodb if dynamodb is not None else client("dynamodb")

    def get(self, key: Key) -> Item | None:
        """Return the item as it is after every write that succeeded before."""
        with store_errors(f"get {key.pk} {key.sk}"):
            answer = self._client.get_item(TableName=self._name, Key=_key(key), ConsistentRead=True)
        return to_item(answer["Item"]) if "Item" in answer else None

    def get_many(self, wanted: Iterable[Key]) -> dict[Key, Item]:
        """Return the items that exist."""
        found: dict[Key, Item] = {}
        keys = list(dict.fromkeys(wanted))
        for at in range(0, len(keys), _READ_BATCH):
            request: dict[str, Any] = {self._name: {"Keys": [_key(key) for key in keys[at : at + _READ_BATCH]]}}
            for attempt in range(_ATTEMPTS):
                self._back_off(attempt)
                with store_errors("batch get"):
                    answer = self._client.batch_get_item(RequestItems=request)
                for raw in answer["Responses"].get(self._name, []):
                    item = to_item(raw)
                    found[Key(str(item["pk"]), str(item["sk"]))] = item
                request = answer.get("UnprocessedKeys", {})
                if not request:
                    break
            else:
                raise StoreError(f"batch get: keys are left after {_ATTEMPTS} tries")
        return found

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items over whatever is there, in no order; returns when all are written."""
        puts = [{"PutRequest": {"Item": from_item(item)}} for item in items]
        for at in range(0, len(puts), _WRITE_BATCH):
            request: dict[str, Any] = {self._name: puts[at : at + _WRITE_BATCH]}
            for attempt in range(_ATTEMPTS):
                self._back_off(attempt)
                with store_errors("batch write"):
                    request = self._client.batch_write_item(RequestItems=request).get("UnprocessedItems", {})
                if not request:
                    break
            else:
                raise StoreError(f"batch write: items are left after {_ATTEMPTS} tries")

    def put_new(self, item: Item) -> Item | None:
        """Write the item if its key is free and return None, else return the existing item."""
        try:
            with store_errors(_put(item)):
                self._client.put_item(
                    TableName=self._name, Item=from_item(item), ConditionExpression="attribute_not_exists(pk)"
                )
        except StoreError as error:
            if not _condition_failed(error):
                raise
            there = self.get(Key(str(item["pk"]), str(item["sk"])))
            if there is None:
                raise StoreError(f"{_put(item)}: taken a moment ago and free again") from error
            return there
        return None

    def put_newest(self, item: Item, by: str) -> bool:
        """Write the item unless the one there has a greater or equal number ``by``; return whether it was written."""
        return self._put_if(item, "attribute_not_exists(pk) OR #by < :by", {"#by": by}, {":by": _value(item[by])})

    def replace(self, item: Item, version: int) -> bool:
        """Write the item with ``version`` + 1 if the one there has ``version`` (0: none); return whether it was."""
        fresh = item | {"version": version + 1}
        if version == 0:
            return self._put_if(fresh, "attribute_not_exists(pk)", {}, {})
        return self._put_if(fresh, "#v = :v", {"#v": "version"}, {":v": {"N": str(version)}})

    def add(
        self,
        key: Key,
        amounts: Mapping[str, int],
        values: Mapping[str, Value],
        first: Mapping[str, Value],
        newest: tuple[str, int] | None = None,
    ) -> Item:
        """Add to numbers, set ``values``, set ``first`` where absent, ``newest`` unless greater; return the item."""
        if newest is not None:
            try:
                return self._update(key, amounts, {**values, newest[0]: newest[1]}, first, newest[0])
            except StoreError as error:
                if not _condition_failed(error):
                    raise
        return self._update(key, amounts, values, first, None)

    def _update(
        self,
        key: Key,
        amounts: Mapping[str, int],
        values: Mapping[str, Value],
        first: Mapping[str, Value],
        newest: str | None,
    ) -> Item:
        """Update the item; with ``newest``, one of ``values``, only if that is not below the one there."""
        names, numbers, adds, sets = {}, {}, [], []
        condition: dict[str, str] = {}
        for at, (name, value) in enumerate([*amounts.items(), *values.items(), *first.items()]):
            names[f"#n{at}"], numbers[f":v{at}"] = name, _value(value)
            if name in amounts:
                adds.append(f"#n{at} :v{at}")
            elif name in values:
                sets.append(f"#n{at} = :v{at}")
            else:
                sets.append(f"#n{at} = if_not_exists(#n{at}, :v{at})")
            if name == newest:
                condition["ConditionExpression"] = f"attribute_not_exists(#n{at}) OR #n{at} <= :v{at}"
        parts = [f"ADD {', '.join(adds)}"] * bool(adds) + [f"SET {', '.join(sets)}"] * bool(sets)
        with store_errors(f"update {key.pk} {key.sk}"):
            answer = self._client.update_item(
                TableName=self._name,
                Key=_key(key),
                UpdateExpression=" ".join(parts),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=numbers,
                ReturnValues="ALL_NEW",
                **condition,
            )
        return to_item(answer["Attributes"])

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items whose sort key lies in [first, last], in its order, fetched as they are needed."""
        values = {":pk": {"S": pk}, ":last": {"S": last}, ":first": {"S": first or " "}}
        yield from self._pages(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues=values,
            ScanIndexForward=not newest_first,
        )

    def query_index(self, index: str, attribute: str, value: str, *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items that a secondary index has under ``attribute`` = ``value``, in the order of its sort key."""
        yield from self._pages(
            IndexName=index,
            KeyConditionExpression="#a = :a",
            ExpressionAttributeNames={"#a": attribute},
            ExpressionAttributeValues={":a": {"S": value}},
            ScanIndexForward=not newest_first,
        )

    def _pages(self, **request: Any) -> Iterator[Item]:
        while True:
            with store_errors("query"):
                answer = self._client.query(TableName=self._name, **request)
            yield from map(to_item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _put_if(self, item: Item, condition: str, names: dict[str, str], values: dict[str, Any]) -> bool:
        extra: dict[str, Any] = {"ExpressionAttributeNames": names} if names else {}
        extra |= {"ExpressionAttributeValues": values} if values else {}
        try:
            with store_errors(_put(item)):
                self._client.put_item(
                    TableName=self._name, Item=from_item(item), ConditionExpression=condition, **extra
                )
        except StoreError as error:
            if _condition_failed(error):
                return False
            raise
        return True

    def _back_off(self, attempt: int) -> None:
        if attempt:
            self._sleep(random.uniform(0.5, 1.0) * min(2.0, 0.05 * 2.0**attempt))  # noqa: S311 - jitter, no secret


def _condition_failed(error: StoreError) -> bool:
    cause = error.__cause__
    return isinstance(cause, ClientError) and error_code(cause) == "ConditionalCheckFailedException"


def _put(item: Item) -> str:
    return f"put {item['pk']!s} {item['sk']!s}"


def _key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"B": value}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def from_item(item: Item) -> dict[str, Any]:
    """Return an item as DynamoDB writes it."""
    return {name: _value(value) for name, value in item.items()}


def to_item(raw: Mapping[str, Mapping[str, Any]]) -> Item:
    """Return an item that DynamoDB wrote: text, whole numbers and bytes are all that ours have."""
    item: Item = {}
    for name, typed in raw.items():
        ((kind, value),) = typed.items()
        if kind == "N":
            item[name] = int(value)
        elif kind in ("S", "B"):
            item[name] = value
        else:
            raise StoreError(f"attribute {name} has the type {kind}: S, N and B are all that is used")
    return item
