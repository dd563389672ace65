"""Tables and archive of the local cloud are saved to a folder and restored into a new stack."""

from __future__ import annotations

import datetime
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_sim.aws.errors import SavedDataError
from device_sim.aws.saved import ARCHIVE, TABLES, SavedData

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


class Pages:
    """A paginator whose pages have one item each."""

    def __init__(self, pages: list[dict[str, Any]]) -> None:
        self._pages = pages

    def paginate(self, **_request: Any) -> Iterator[dict[str, Any]]:
        return iter(self._pages)


class Account:
    """An account in memory with two tables, a bucket and two mappings; it records the order of writes."""

    def __init__(self) -> None:
        self.outputs = {name: name for name in (*TABLES, ARCHIVE)}
        self.tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self.objects: dict[str, bytes] = {}
        self.mappings: list[dict[str, Any]] = [
            {"UUID": "1", "EventSourceArn": "arn:aws:dynamodb:x", "FunctionArn": "alerting:live", "BatchSize": 50},
            {"UUID": "2", "EventSourceArn": "arn:aws:sqs:x", "FunctionArn": "ingest"},
        ]
        self.calls: list[str] = []

    def client(self, _service: str) -> Account:
        return self

    def get_paginator(self, operation: str) -> Any:
        if operation == "list_event_source_mappings":
            return Pages([{"EventSourceMappings": list(self.mappings)}])
        if operation == "list_objects_v2":
            return Pages([{"Contents": [{"Key": key, "LastModified": NOW} for key in self.objects]}])
        account = self

        class Scan:
            def paginate(self, TableName: str, **_more: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
                return iter({"Items": [item]} for item in account.tables[TableName])

        return Scan()

    def batch_write_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        self.calls.append("write")
        for table, requests in RequestItems.items():
            assert len(requests) <= 25
            self.tables[table] += [request["PutRequest"]["Item"] for request in requests]
        return {}

    def delete_event_source_mapping(self, UUID: str) -> None:  # noqa: N803
        self.calls.append("delete")
        self.mappings = [mapping for mapping in self.mappings if mapping["UUID"] != UUID]

    def create_event_source_mapping(self, **mapping: Any) -> None:
        self.calls.append("create")
        self.mappings.append(mapping)

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.objects[Key] = Body


def filled() -> Account:
    account = Account()
    account.tables[TABLES[0]] = [{"pk": {"S": f"gw#{at}"}, "body": {"B": bytes([at])}} for at in range(60)]
    account.tables[TABLES[1]] = [{"pk": {"S": "alert"}, "version": {"N": "3"}}]
    account.objects = {"rows/date=2030-01-01/a.parquet": b"PAR1"}
    return account


def test_a_new_stack_gets_the_items_and_objects_of_the_saved_one(tmp_path: Path) -> None:
    old, new = filled(), Account()
    assert SavedData(old, tmp_path).save() == 61
    assert SavedData(new, tmp_path).restore() == 61
    assert (new.tables, new.objects) == (old.tables, old.objects)


def test_mappings_of_streams_are_made_again_behind_the_restored_items(tmp_path: Path) -> None:
    """Otherwise each restored alert would be published again."""
    SavedData(filled(), tmp_path).save()
    new = Account()
    SavedData(new, tmp_path).restore()
    assert (new.calls[0], new.calls[-1]) == ("delete", "create")
    (made,) = [mapping for mapping in new.mappings if "UUID" not in mapping]
    assert made == {
        "EventSourceArn": "arn:aws:dynamodb:x",
        "FunctionName": "alerting:live",
        "StartingPosition": "LATEST",
        "BatchSize": 50,
    }


def test_without_saved_data_nothing_changes(tmp_path: Path) -> None:
    new = Account()
    assert SavedData(new, tmp_path).restore() == 0
    assert new.calls == []


def test_an_object_that_was_removed_is_removed_from_the_folder(tmp_path: Path) -> None:
    account = filled()
    saved = SavedData(account, tmp_path)
    saved.save()
    account.objects = {}
    saved.save()
    assert [path for path in (tmp_path / "archive").rglob("*") if path.is_file()] == []


def test_data_of_a_newer_format_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "tables.jsonl.gz", "wt") as file:
        file.write(json.dumps({"format": 2}) + "\n")
    with pytest.raises(SavedDataError, match="newer version; install that version again"):
        SavedData(Account(), tmp_path).restore()


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b'{"format": 1}\n["Other', mtime=0), gzip.compress(b"", mtime=0)],
    ids=["no gzip", "an unknown table, cut", "empty"],
)
def test_damaged_data_are_named_with_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tables.jsonl.gz").write_bytes(content)
    with pytest.raises(SavedDataError, match="tables"):
        SavedData(Account(), tmp_path).restore()
