"""The alerting function's handler: each record is tried, and a failure brings the batch again."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cloud_functions.adapters.dynamodb import from_item
from cloud_functions.adapters.streams import images
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.errors import CloudError
from cloud_functions.core.ports import Item
from tests.unit.cloud.fakes import NOW_MS, FakePublisher, FakeTable, report
from wire.model import Anomaly, Phase

CONTEXT = SimpleNamespace(
    function_name="alerting", memory_limit_in_mb=256, invoked_function_arn="arn:aws:lambda:x", aws_request_id="1"
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name in ("ALERTS_TABLE", "ALERTS_TOPIC", "ALERTS_BUS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    sys.modules.pop("cloud_functions.alerting.app", None)
    module = importlib.import_module("cloud_functions.alerting.app")
    table = FakeTable()
    monkeypatch.setattr(module, "book", AlertBook(table, lambda: NOW_MS, 1_000))
    monkeypatch.setattr(module, "publishers", (FakePublisher(),))
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


def test_reports_become_alerts_and_their_changes_are_told(app: ModuleType) -> None:
    run(app, record(reported(report())), record(reported(report(Phase.END, 9_000))))
    run(app, *(record(new, old) for old, new in app.table.stream))
    assert [one["type"].rsplit(".", 1)[1] for one in app.publishers[0].published] == ["firing", "resolved"]


def test_what_is_neither_report_nor_alert_passes_by(app: ModuleType) -> None:
    run(app, record(None, reported(report())), record({"pk": "a", "sk": "b", "kind": "record", "columns": b"\x00"}))
    assert app.table.items == {}


def test_a_record_that_fails_stops_none_after_it_and_brings_the_batch_again(app: ModuleType) -> None:
    broken = reported(report()) | {"report": "{}"}
    with pytest.raises(CloudError, match="1 of 3 stream records failed: ModelError"):
        run(app, record(broken), record(reported(report())), record(reported(report(), "gw-2")))
    assert sorted(key.pk for key in app.table.items) == ["gw-1", "gw-2"]


def test_images_come_back_as_the_items_that_were_written() -> None:
    item: Item = {"pk": "a", "sk": "b", "n": 5, "columns": bytes(range(256))}
    assert images(record(item)) == (None, item)
    assert images(record(None, item)) == (item, None)
