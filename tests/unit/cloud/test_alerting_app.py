"""Handler of the alerting function: each record is processed, and a failure causes a retry of the batch."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import from_item
from cloud_functions.adapters.streams import images
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.channels import ChannelType
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.dispatch import Dispatcher
from cloud_functions.core.errors import CloudError, StoreError
from cloud_functions.core.grouping import Groups
from cloud_functions.core.ports import Item
from tests.unit.cloud.fakes import NOW_MS, FakeOutbox, FakeTable, report
from wire.model import Anomaly, Phase

CONTEXT = SimpleNamespace(
    function_name="alerting", memory_limit_in_mb=256, invoked_function_arn="arn:aws:lambda:x", aws_request_id="1"
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    queues = json.dumps({kind: f"https://sqs/{kind}" for kind in ChannelType})
    monkeypatch.setattr(settings, "text", lambda name, default="x": queues if name == "CHANNEL_QUEUES" else default)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    sys.modules.pop("cloud_functions.alerting.app", None)
    module = importlib.import_module("cloud_functions.alerting.app")
    table = FakeTable()
    monkeypatch.setattr(module, "book", AlertBook(table, lambda: NOW_MS, 1_000))
    configuration = Configuration(table, lambda: NOW_MS)
    outbox = FakeOutbox()
    groups = Groups(table, outbox, lambda: NOW_MS)
    dispatcher = Dispatcher(configuration.routes, configuration.channels, outbox, groups)
    monkeypatch.setattr(module, "dispatcher", dispatcher)
    module.sent = outbox  # type: ignore[attr-defined]
    module.table = table  # type: ignore[attr-defined]
    yield module
    sys.modules.pop("cloud_functions.alerting.app", None)


def as_json(item: Item) -> dict[str, Any]:
    return {
        name: {"B": base64.b64encode(typed["B"]).decode()} if "B" in typed else typed
        for name, typed in from_item(item).items()
    }


def record(new: Item | None, old: Item | None = None) -> dict[str, Any]:
    sides = {"NewImage": new, "OldImage": old}
    return {"dynamodb": {name: as_json(item) for name, item in sides.items() if item is not None}}


def reported(one: Anomaly, gateway: str = "gw-1") -> Item:
    return {"pk": "a", "sk": "b", "kind": "anomaly", "gateway": gateway, "report": json.dumps(one.to_dict())}


def run(app: ModuleType, *records: dict[str, Any]) -> None:
    app.lambda_handler({"Records": list(records)}, CONTEXT)


def test_reports_become_alerts_and_their_transitions_are_published(app: ModuleType) -> None:
    run(app, record(reported(report())), record(reported(report(Phase.END, 9_000))))
    run(app, *(record(new, old) for old, new in app.table.stream))
    for channel in ("default-sns", "default-eventbridge", "default-mqtt"):
        types = [one["type"] for one in app.sent.events(channel)]
        assert types == ["io.strandline.alert.firing.v1", "io.strandline.alert.resolved.v1"]


def test_a_failure_of_a_queue_causes_a_retry_with_the_same_events(app: ModuleType) -> None:
    run(app, record(reported(report())))
    app.sent.failures = 1
    changes = [record(new, old) for old, new in app.table.stream]
    with pytest.raises(StoreError):
        run(app, *changes)
    run(app, *changes)
    run(app, *changes)
    assert len({one["id"] for one in app.sent.events("default-sns")}) == 1


def test_an_unreadable_alert_does_not_stop_the_transitions_of_others(app: ModuleType) -> None:
    run(app, record(reported(report())))
    changes = [record(new, old) for old, new in app.table.stream]
    with pytest.raises(CloudError, match="1 of"):
        run(app, record({"pk": "a", "sk": "b", "kind": "alert"}), *changes)
    assert len(app.sent.events("default-mqtt")) == 1


def test_items_that_are_neither_reports_nor_alerts_are_ignored(app: ModuleType) -> None:
    run(app, record(None, reported(report())), record({"pk": "a", "sk": "b", "kind": "record", "columns": b"\x00"}))
    assert app.table.items == {}


def test_a_failed_record_does_not_stop_later_ones_and_the_batch_is_retried(app: ModuleType) -> None:
    broken = reported(report()) | {"report": "{}"}
    with pytest.raises(CloudError, match="1 of 3 stream records failed: ModelError"):
        run(app, record(broken), record(reported(report())), record(reported(report(), "gw-2")))
    assert sorted(item["pk"] for item in app.table.of_kind("alert")) == ["gw-1", "gw-2"]


def test_stream_images_are_converted_to_the_written_items() -> None:
    item: Item = {"pk": "a", "sk": "b", "n": 5, "columns": bytes(range(256))}
    assert images(record(item)) == (None, item)
    assert images(record(None, item)) == (item, None)
