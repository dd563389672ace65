"""An account in memory with the tables and the archive of the local cloud, for its saved data."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator, Mapping
from typing import Any

OUTPUTS = {"TelemetryTableName": "telemetry", "AlertsTableName": "alerts", "ArchiveBucketName": "archive"}
WRITTEN = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)


class MemoryAccount:
    """Tables of items and a bucket of objects; it is the client of each of its services."""

    def __init__(self) -> None:
        self.outputs = OUTPUTS
        self.tables: dict[str, list[Mapping[str, Any]]] = {"telemetry": [], "alerts": []}
        self.objects: dict[str, bytes] = {}

    def client(self, service: str) -> Any:
        """Return the client of a service."""
        assert service in ("dynamodb", "s3", "lambda")
        return self

    def get_paginator(self, operation: str) -> _Pages:
        """Return the pages of an operation."""
        return _Pages(self, operation)

    def batch_write_item(self, RequestItems: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803 # a name of the API
        """Put items."""
        for table, requests in RequestItems.items():
            self.tables[table] += [one["PutRequest"]["Item"] for one in requests]
        return {}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 # names of the API
        """Return an object."""
        assert Bucket == OUTPUTS["ArchiveBucketName"]
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 # names of the API
        """Put an object."""
        assert Bucket == OUTPUTS["ArchiveBucketName"]
        self.objects[Key] = Body


class _Pages:
    def __init__(self, account: MemoryAccount, operation: str) -> None:
        self._account, self._operation = account, operation

    def paginate(self, **more: Any) -> Iterator[dict[str, Any]]:
        """Return one page."""
        if self._operation == "scan":
            yield {"Items": self._account.tables[more["TableName"]]}
        elif self._operation == "list_objects_v2":
            yield {"Contents": [{"Key": key, "LastModified": WRITTEN} for key in self._account.objects]}
        else:
            yield {"EventSourceMappings": []}
