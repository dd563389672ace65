"""Implementation of :class:`cloud_functions.core.ports.Table` with DynamoDB."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from cloud_functions.adapters.aws import client, error_code, store_errors
from cloud_functions.core.errors import StoreError
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Item, Key, Value

_WRITE_BATCH, _READ_BATCH = 25, 100
_ATTEMPTS = 8
_DENSITY = 2
"""Items that a query may read for each one that is wanted."""
INDEXES = {"by_time": ("pk", "at"), "by_state": ("listed", "sk")}
"""Partition and sort key of each index (see cloud_functions.core.keys and template.yaml)."""


class DynamoTable:
    """A table, by name; ``dynamodb`` is a boto3 client, and ``sleep`` waits between tries of what was throttled.

    ``metrics`` counts ``throttles``: throttled requests, and answers with unprocessed items.
    """

    def __init__(
        self,
        name: str,
        dynamodb: Any = None,
        sleep: Callable[[float], None] = time.sleep,
        metrics: Metrics | None = None,
    ) -> None:
        self._name, self._sleep = name, sleep
        self._metrics = metrics if metrics is not None else Metrics()
        self._client = dynamodb if dynamodb is not None else client("dynamodb", self._metrics)

    def get(self, key: Key) -> Item | None:
        """Return the item with a strongly consistent read."""
        with store_errors(f"get {key.pk} {key.sk}"):
            answer = self._client.get_item(TableName=self._name, Key=_key(key), ConsistentRead=True)
        return to_item(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return the items of those keys that exist, read eventually consistently, which costs half."""
        found: dict[Key, Item] = {}
        for at in range(0, len(keys), _READ_BATCH):
            found |= self._get_many(keys[at : at + _READ_BATCH], consistent=False)
        return found

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items unconditionally in any order; return when all are written."""
        self._write([{"PutRequest": {"Item": from_item(item)}} for item in items])

    def remove(self, found: Iterable[Key]) -> None:
        """Remove items; a missing one is not an error. Returns when all are removed."""
        self._write([{"DeleteRequest": {"Key": _key(key)}} for key in found])

    def _write(self, requests: list[dict[str, Any]]) -> None:
        for at in range(0, len(requests), _WRITE_BATCH):
            request: dict[str, Any] = {self._name: requests[at : at + _WRITE_BATCH]}
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

    def replace(self, item: Item, version: int) -> bool:
        """Write the item with ``version`` + 1 if the one there has ``version`` (0: none); return whether it was."""
        fresh = item | {"version": version + 1}
        if version == 0:
            return self._put_if(fresh, "attribute_not_exists(pk)", {}, {})
        return self._put_if(fresh, "#v = :v", {"#v": "version"}, {":v": {"N": str(version)}})

    def delete(self, key: Key, version: int) -> bool:
        """Delete the item if it has ``version``; return True if it was deleted."""
        try:
            with store_errors(f"delete {key.pk} {key.sk}"):
                self._client.delete_item(
                    TableName=self._name,
                    Key=_key(key),
                    ConditionExpression="#v = :v",
                    ExpressionAttributeNames={"#v": "version"},
                    ExpressionAttributeValues={":v": {"N": str(version)}},
                )
        except StoreError as error:
            if _condition_failed(error):
                return False
            raise
        return True

    def add(
        self, key: Key, amounts: Mapping[str, int], values: Mapping[str, Value], first: Mapping[str, Value]
    ) -> None:
        """Add to numbers, set ``values``, and set ``first`` where absent."""
        names, numbers, adds, sets = {}, {}, [], []
        for at, (name, value) in enumerate([*amounts.items(), *values.items(), *first.items()]):
            names[f"#n{at}"], numbers[f":v{at}"] = name, _value(value)
            if name in amounts:
                adds.append(f"#n{at} :v{at}")
            elif name in values:
                sets.append(f"#n{at} = :v{at}")
            else:
                sets.append(f"#n{at} = if_not_exists(#n{at}, :v{at})")
        parts = [f"ADD {', '.join(adds)}"] * bool(adds) + [f"SET {', '.join(sets)}"] * bool(sets)
        with store_errors(f"update {key.pk} {key.sk}"):
            self._client.update_item(
                TableName=self._name,
                Key=_key(key),
                UpdateExpression=" ".join(parts),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=numbers,
            )

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items whose sort key lies in [first, last], in its order, fetched as they are needed."""
        yield from self._pages("pk", "sk", pk, first, last, ScanIndexForward=not newest_first)

    def query_index(
        self, index: str, value: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False
    ) -> Iterator[Item]:
        """Yield the items under ``value`` of an index whose sort key there lies in [first, last], whole and in order.

        A local index has the partition key of the table, is read consistently and holds keys only, so the items are
        read from the table. A global one has the items and is eventually consistent.
        """
        partition, order = INDEXES[index]
        local = partition == "pk"
        found = self._pages(
            partition,
            order,
            value,
            first,
            last,
            IndexName=index,
            ScanIndexForward=not newest_first,
            ConsistentRead=local,
        )
        while page := list(itertools.islice(found, _READ_BATCH)):
            if not local:
                yield from page
                continue
            keys = [Key(str(item["pk"]), str(item["sk"])) for item in page]
            items = self._get_dense(value, keys)
            # An item may have expired since the index was read.
            yield from (items[key] for key in keys if key in items)

    def _get_dense(self, pk: str, keys: list[Key]) -> dict[Key, Item]:
        """Return items of one partition, read consistently; those that lie near to one another by one query.

        A query is charged for the sum of what it reads, a batch of single reads for each item rounded up.
        """
        names = sorted(key.sk for key in keys)
        request = self._range("pk", "sk", pk, names[0], names[-1])
        with store_errors("query"):
            answer = self._client.query(
                TableName=self._name, ConsistentRead=True, Limit=_DENSITY * len(keys), **request
            )
        wanted, found = set(keys), map(to_item, answer["Items"])
        items = {key: item for item in found if (key := Key(str(item["pk"]), str(item["sk"]))) in wanted}
        missing = [key for key in keys if key not in items] if "LastEvaluatedKey" in answer else []
        return items | (self._get_many(missing, consistent=True) if missing else {})

    def _get_many(self, keys: Sequence[Key], *, consistent: bool) -> dict[Key, Item]:
        found: dict[Key, Item] = {}
        request: dict[str, Any] = {self._name: {"Keys": [_key(key) for key in keys], "ConsistentRead": consistent}}
        for attempt in range(_ATTEMPTS):
            self._back_off(attempt)
            with store_errors("batch get"):
                answer = self._client.batch_get_item(RequestItems=request)
            for raw in answer["Responses"].get(self._name, []):
                item = to_item(raw)
                found[Key(str(item["pk"]), str(item["sk"]))] = item
            request = answer.get("UnprocessedKeys", {})
            if not request:
                return found
        raise StoreError(f"batch get: keys are left after {_ATTEMPTS} tries")

    def _pages(self, partition: str, order: str, value: str, first: str, last: str, **request: Any) -> Iterator[Item]:
        request |= self._range(partition, order, value, first, last)
        while True:
            with store_errors("query"):
                answer = self._client.query(TableName=self._name, **request)
            yield from map(to_item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    @staticmethod
    def _range(partition: str, order: str, value: str, first: str, last: str) -> dict[str, Any]:
        return {
            "KeyConditionExpression": "#p = :p AND #o BETWEEN :first AND :last",
            "ExpressionAttributeNames": {"#p": partition, "#o": order},
            "ExpressionAttributeValues": {":p": {"S": value}, ":first": {"S": first or " "}, ":last": {"S": last}},
        }

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
            self._metrics.count("throttles")
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
