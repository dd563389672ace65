"""Handler of the ingest function: partial failures for any exception."""

from __future__ import annotations

import base64
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cloud_functions.adapters import dynamodb, iot, sqs
from cloud_functions.core import keys
from cloud_functions.core.errors import CloudError
from cloud_functions.core.ingest_run import RESERVED_MS
from cloud_functions.core.storing import Storer
from tests.unit.cloud.fakes import NOW_MS, FakeAcknowledger, FakeDeadLetterSink, FakeTable, aggregates, body
from wire.model import Batch


def context(*remaining_ms: int) -> SimpleNamespace:
    """Return a Lambda context whose remaining time takes these values, the last one repeatedly."""
    left = list(remaining_ms)
    return SimpleNamespace(
        function_name="ingest",
        memory_limit_in_mb=512,
        invoked_function_arn="arn:aws:lambda:x",
        aws_request_id="1",
        get_remaining_time_in_millis=lambda: left.pop(0) if len(left) > 1 else left[0],
    )


CONTEXT = context(30_000)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("TELEMETRY_TABLE", "telemetry")
    monkeypatch.setenv("DEAD_LETTERS_URL", "http://127.0.0.1:1/dead")
    table = FakeTable()
    monkeypatch.setattr(dynamodb, "DynamoTable", lambda _name, metrics: table)
    monkeypatch.setattr(iot, "IotAcknowledger", FakeAcknowledger)
    monkeypatch.setattr(sqs, "SqsDeadLetterSink", lambda _url: FakeDeadLetterSink())
    sys.modules.pop("cloud_functions.ingest.app", None)
    module = importlib.import_module("cloud_functions.ingest.app")
    assert module.table is table
    monkeypatch.setattr(module, "storer", Storer(table, lambda: NOW_MS, 1_000))
    yield module
    sys.modules.pop("cloud_functions.ingest.app", None)


def event(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [{"messageId": f"m{at}", "body": text, "eventSource": "aws:sqs"} for at, text in enumerate(bodies)]
    }


def again(app: ModuleType, *bodies: str) -> list[str]:
    answer = app.lambda_handler(event(*bodies), CONTEXT)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def batch(sequence: int) -> str:
    return body(Batch("gw-1", 7, sequence, aggregates(sequence)))


def test_valid_and_invalid_batches_leave_the_queue(app: ModuleType) -> None:
    assert again(app, batch(1), "{", batch(2)) == []
    assert [ack.cumulative for _, ack in app.acknowledger.sent] == [2]
    assert len(app.dead_letters.kept) == 1


def test_only_batches_that_were_not_stored_are_retried(app: ModuleType) -> None:
    app.table.refuse = lambda key: key == keys.batch("gw-1", 7, 2)
    assert again(app, batch(1), batch(2), batch(3)) == ["m1"]


def test_all_batches_are_retried_once_if_none_could_be_stored(app: ModuleType) -> None:
    app.table.refuse = lambda key: True
    assert again(app, batch(1), batch(2)) == ["m0", "m1"]
    app.table.refuse = lambda key: key.sk.startswith("ack#")
    assert again(app, batch(1), batch(2)) == ["m0", "m1"]


def test_an_unexpected_exception_fails_its_own_batch_only(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    store = app.storer.store

    def broken(arrival: Any) -> Any:
        if arrival.name.sequence == 2:
            raise ZeroDivisionError("a bug")
        return store(arrival)

    monkeypatch.setattr(app.storer, "store", broken)
    assert again(app, batch(1), batch(2), batch(3)) == ["m1"]


def test_messages_for_which_no_time_is_left_come_again_and_the_others_are_acknowledged(app: ModuleType) -> None:
    answer = app.lambda_handler(event(batch(1), batch(2), batch(3)), context(30_000, RESERVED_MS - 1))
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["m1", "m2"]
    assert [ack.cumulative for _, ack in app.acknowledger.sent] == [1]


def test_a_record_of_a_stream_is_stored_like_a_message_of_a_queue(app: ModuleType) -> None:
    data = [base64.b64encode(text.encode()).decode() for text in (batch(1), "{", batch(2))]
    records = [
        {"eventSource": "aws:kinesis", "kinesis": {"sequenceNumber": f"s{at}", "data": one}}
        for at, one in enumerate(data)
    ]
    app.table.refuse = lambda key: key == keys.batch("gw-1", 7, 2)
    answer = app.lambda_handler({"Records": records}, CONTEXT)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "s2"}]}
    assert [ack.cumulative for _, ack in app.acknowledger.sent] == [1]
    ((_, attributes),) = app.dead_letters.kept
    assert "source" not in attributes


def test_the_error_for_a_missing_variable_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEMETRY_TABLE", raising=False)
    sys.modules.pop("cloud_functions.ingest.app", None)
    with pytest.raises(CloudError, match="environment variable TELEMETRY_TABLE is not set"):
        importlib.import_module("cloud_functions.ingest.app")
