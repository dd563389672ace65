"""Tests of the published metrics: format, limits, throttles, and one line for each invocation."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from cloud_functions.adapters.aws import CONFIG, count_throttles
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import lines, publishing
from cloud_functions.core.errors import StoreError
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Key

ABOUT = {"stack": "plant", "function": "ingest", "request_id": "r-1"}
CONTEXT = SimpleNamespace(aws_request_id="r-1")


def declared(line: dict[str, Any]) -> dict[str, str]:
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}


def test_a_line_declares_each_metric_with_its_unit_and_has_its_value_beside_the_dimensions() -> None:
    metrics = Metrics()
    metrics.count("rows", 600)
    metrics.count("rows", 60)
    metrics.observe("event_to_store_ms", 1_200)
    metrics.observe("event_to_store_ms", 800)
    (line,) = map(json.loads, lines(metrics, ABOUT, 1_700_000_000_000))
    assert line["_aws"]["Timestamp"] == 1_700_000_000_000
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Strandline"
    assert directive["Dimensions"] == [["stack", "function"]]
    assert declared(line) == {"rows": "Count", "event_to_store_ms": "Milliseconds"}
    assert (line["rows"], line["event_to_store_ms"]) == (660, [1_200, 800])
    assert {name: line[name] for name in ABOUT} == ABOUT


def test_more_values_and_metrics_than_a_line_may_have_are_spread_over_several() -> None:
    metrics = Metrics()
    for value in range(250):
        metrics.observe("gaps", value)
    for number in range(120):
        metrics.count(f"counter_{number}")
    written = [json.loads(line) for line in lines(metrics, ABOUT, 1)]
    assert all(len(declared(line)) <= 100 for line in written)
    assert all(len(line["gaps"]) <= 100 for line in written if "gaps" in line)
    assert sorted(value for line in written for value in line.get("gaps", [])) == list(range(250))
    assert sum(line.get(f"counter_{number}", 0) for line in written for number in range(120)) == 120


def test_an_invocation_without_metrics_writes_nothing() -> None:
    assert list(lines(Metrics(), ABOUT, 1)) == []


def test_an_invocation_that_fails_publishes_its_metrics_and_the_next_one_begins_at_zero() -> None:
    metrics, written = Metrics(), list[str]()

    @publishing(metrics, "plant", "ingest", written.append)
    def handler(event: dict[str, Any], context: Any) -> str:
        metrics.count("rows", event["rows"])
        if event["rows"] > 1:
            raise StoreError("down")
        return "done"

    with pytest.raises(StoreError):
        handler({"rows": 2}, CONTEXT)
    assert handler({"rows": 1}, CONTEXT) == "done"
    assert [json.loads(line)["rows"] for line in written] == [2, 1]
    assert {json.loads(line)["request_id"] for line in written} == {"r-1"}


class _Raw:
    """The body of an HTTP response."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return [self._body]


def answering(*bodies: tuple[int, dict[str, Any]]) -> Any:
    """Return a DynamoDB client whose requests are answered with these bodies in the place of the network."""
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106
        config=CONFIG,
    )
    waiting = list(bodies)

    def answer(request: Any, **_: Any) -> AWSResponse:
        status, body = waiting.pop(0)
        headers = {"content-type": "application/x-amz-json-1.0"}
        return AWSResponse(request.url, status, headers, _Raw(json.dumps(body).encode()))

    client.meta.events.register("before-send.dynamodb", answer)
    return client


def test_a_throttled_request_counts_also_where_the_clients_repetition_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    throttled = {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow"}
    client, metrics = answering((400, throttled), (400, throttled), (200, {})), Metrics()
    count_throttles(client, metrics)
    assert DynamoTable("t", client, metrics=metrics).get(Key("a", "b")) is None
    assert metrics.counts["throttles"] == 2


def test_an_error_that_is_not_a_throttle_does_not_count() -> None:
    client, metrics = answering((400, {"__type": "x#ResourceNotFoundException", "message": "no table"})), Metrics()
    count_throttles(client, metrics)
    with pytest.raises(StoreError):
        DynamoTable("t", client, metrics=metrics).get(Key("a", "b"))
    assert not metrics.counts


def test_unprocessed_items_count_as_throttled() -> None:
    item = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    left = {"UnprocessedItems": {"t": [{"PutRequest": {"Item": item}}]}}
    client, metrics = answering((200, left), (200, {"UnprocessedItems": {}})), Metrics()
    DynamoTable("t", client, lambda _: None, metrics).put_many([{"pk": "a", "sk": "b"}])
    assert metrics.counts["throttles"] == 1
