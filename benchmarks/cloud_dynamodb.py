"""An in-memory DynamoDB behind a real boto3 client: requests are serialized and signed, and no socket is opened.

It knows the operations and expressions that :mod:`cloud_functions.adapters.dynamodb` sends, and no others. It counts
requests, write units and read units, and the CPU time of its own work, which is not that of a function.
"""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections import Counter
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

from cloud_functions.adapters.aws import CONFIG

Raw = dict[str, dict[str, Any]]
_TERM = re.compile(r"(?P<not>attribute_not_exists)?\(?(?P<name>#?\w+)\)?(?: (?P<compare>=|<=?) (?P<value>:\w+))?$")


class MemoryDynamoDB:
    """Tables of items by (pk, sk); :meth:`client` returns a boto3 client of it."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[tuple[str, str], Raw]] = {}
        self.counts: Counter[str] = Counter()
        self.write_units = self.read_units = 0.0
        self.own_cpu_s = 0.0

    def clear(self) -> None:
        """Reset all counts."""
        self.counts.clear()
        self.write_units = self.read_units = 0.0

    def client(self) -> Any:
        """Return a boto3 client whose requests this object answers."""
        client = _client("dynamodb")
        client.meta.events.register("before-send.dynamodb", self._answer)
        return client

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        began = time.process_time()
        operation = request.headers["X-Amz-Target"]
        name = (operation.decode() if isinstance(operation, bytes) else operation).rsplit(".", 1)[1]
        status, body = self.perform(name, json.loads(request.body))
        text = json.dumps(body).encode()
        answer = AWSResponse(request.url, status, {"Content-Type": "application/x-amz-json-1.0"}, _Body(text))
        self.own_cpu_s += time.process_time() - began
        return answer

    def perform(self, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Perform one operation; return the HTTP status and the body of the answer."""
        self.counts[operation] += 1
        method = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
        if operation in ("BatchWriteItem", "BatchGetItem"):
            return 200, method(request)
        table = self.tables.setdefault(request["TableName"], {})
        try:
            return 200, method(table, request)
        except _ConditionError:
            error = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no"}
            return 400, error

    def _get_item(self, table: dict[tuple[str, str], Raw], request: dict[str, Any]) -> dict[str, Any]:
        found = table.get(_key(request["Key"]))
        self._read([found] if found else [], request)
        return {} if found is None else {"Item": found}

    def _put_item(self, table: dict[tuple[str, str], Raw], request: dict[str, Any]) -> dict[str, Any]:
        item, key = request["Item"], _key(request["Item"])
        self.write_units += _units(item)
        _check(request, table.get(key))
        table[key] = item
        return {}

    def _delete_item(self, table: dict[tuple[str, str], Raw], request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request["Key"])
        self.write_units += _units(table.get(key, {}))
        _check(request, table.get(key))
        table.pop(key, None)
        return {}

    def _update_item(self, table: dict[tuple[str, str], Raw], request: dict[str, Any]) -> dict[str, Any]:
        key = _key(request["Key"])
        before = table.get(key)
        _check(request, before)
        item: Raw = dict(before or request["Key"])
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        for verb, clauses in re.findall(r"(ADD|SET) (.*?)(?= SET |$)", request["UpdateExpression"]):
            for clause in re.findall(r"#\w+ (?:= )?(?:if_not_exists\([^)]*\)|:\w+)", clauses):
                name, value = names[clause.split()[0]], values[re.findall(r":\w+", clause)[0]]
                if verb == "ADD":
                    item[name] = {"N": str(int(item.get(name, {"N": "0"})["N"]) + int(value["N"]))}
                elif "if_not_exists" not in clause or name not in item:
                    item[name] = value
        self.write_units += max(_units(item), _units(before or {}))
        table[key] = item
        return {"Attributes": item}

    def _query(self, table: dict[tuple[str, str], Raw], request: dict[str, Any]) -> dict[str, Any]:
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        partition, order = names["#p"], names["#o"]
        wanted, first, last = (values[name]["S"] for name in (":p", ":first", ":last"))
        found = [
            item
            for item in table.values()
            if item.get(partition, {}).get("S") == wanted and order in item and first <= item[order]["S"] <= last
        ]
        found.sort(key=lambda item: str(item[order]["S"]), reverse=not request.get("ScanIndexForward", True))
        if partition == "pk" and order == "at":
            found = [{name: item[name] for name in ("pk", "sk", "at")} for item in found]
        limit = request.get("Limit", len(found))
        left, found = found[limit:], found[:limit]
        self._read(found, request)
        return {"Items": found} | (
            {"LastEvaluatedKey": {name: found[-1][name] for name in ("pk", "sk")}} if left else {}
        )

    def _batch_write_item(self, request: dict[str, Any]) -> dict[str, Any]:
        for name, puts in request["RequestItems"].items():
            for put in puts:
                item = put["PutRequest"]["Item"]
                self.write_units += _units(item)
                self.tables.setdefault(name, {})[_key(item)] = item
        return {"UnprocessedItems": {}}

    def _batch_get_item(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = {}
        for name, wanted in request["RequestItems"].items():
            table = self.tables.setdefault(name, {})
            answer[name] = [table[_key(key)] for key in wanted["Keys"] if _key(key) in table]
            for item in answer[name]:
                self._read([item], wanted)
        return {"Responses": answer, "UnprocessedKeys": {}}

    def _read(self, items: list[Raw], request: dict[str, Any]) -> None:
        size = sum(map(item_bytes, items))
        self.read_units += max(1, -(-size // 4096)) * (1.0 if request.get("ConsistentRead") else 0.5)


def null_iot() -> tuple[Any, list[int]]:
    """Return a boto3 client of IoT Core's data plane whose requests are answered here, and their number in a list."""
    client = _client("iot-data")
    sent = [0]

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent[0] += 1
        return AWSResponse(request.url, 200, {"Content-Type": "application/json"}, _Body(b"{}"))

    client.meta.events.register("before-send.iot-data-plane", answer)
    return client, sent


def _client(service: str) -> Any:
    """Return a boto3 client with the functions' settings, whose requests the caller answers."""
    return boto3.client(
        service,
        region_name="us-east-1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",  # noqa: S106 - requests do not leave the process
        config=CONFIG,
    )


class _ConditionError(Exception):
    """The condition of a write does not hold."""


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()


def _key(item: Raw) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _check(request: dict[str, Any], before: Raw | None) -> None:
    """Raise _ConditionError unless the request's condition, terms joined by OR, holds for the item before."""
    condition = request.get("ConditionExpression")
    if condition is None:
        return
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    for text in condition.split(" OR "):
        term = _TERM.match(text)
        if term is None:
            raise ValueError(f"condition {condition!r}: a term that this model does not know")
        there = (before or {}).get(names.get(term["name"], term["name"]))
        if term["not"]:
            holds = there is None
        else:
            holds = there is not None and _holds(there, term["compare"], values[term["value"]])
        if holds:
            return
    raise _ConditionError


def _holds(there: dict[str, Any], compare: str, value: dict[str, Any]) -> bool:
    if "N" in there:
        left, right = int(there["N"]), int(value["N"])
        return left == right if compare == "=" else left < right if compare == "<" else left <= right
    return there == value


def _units(item: Raw) -> int:
    """Return the write units of an item and of its entry in the index by time."""
    return max(1, -(-item_bytes(item) // 1024)) + ("at" in item)


def item_bytes(item: Raw) -> int:
    """Return an item's size as DynamoDB counts it: names and values; a number about half its digits and one more."""
    size = 0
    for name, typed in item.items():
        ((kind, value),) = typed.items()
        size += len(name.encode())
        if kind == "B":
            size += len(base64.b64decode(value))
        else:
            size += len(value.encode()) if kind == "S" else (len(value) + 1) // 2 + 1
    return size
