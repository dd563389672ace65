"""Tables and archive of the local cloud in a folder, so that its data survive a restart.

The emulator keeps everything in memory. After a restart the stack is deployed again, from the template of the present
version, and the saved items and objects are put into it. The event source mappings of the tables' streams are made
again behind the restored items, so that no restored alert is published a second time.

``tables.jsonl.gz`` begins with a header, which has the version of the format. It is replaced atomically.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from device_sim.aws.errors import SavedDataError

FORMAT = 1
TABLES = ("TelemetryTableName", "AlertsTableName")
ARCHIVE = "ArchiveBucketName"
_ITEMS, _OBJECTS = "tables.jsonl.gz", "archive"
_BATCH = 25
"""Items in a request of BatchWriteItem."""
_MAPPING_KEYS = (
    *("BatchSize", "FilterCriteria", "MaximumBatchingWindowInSeconds", "ParallelizationFactor", "DestinationConfig"),
    *("MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError", "MaximumRetryAttempts", "FunctionResponseTypes"),
)
_LOG = logging.getLogger(__name__)


class Account(Protocol):
    """Account with the deployed stack."""

    @property
    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs."""

    def client(self, service: str) -> Any:
        """Return a boto3 client."""


class SavedData:
    """The saved data of one cloud in ``folder``."""

    def __init__(self, cloud: Account, folder: Path) -> None:
        self._cloud, self._folder = cloud, folder
        self._lock = threading.Lock()

    def restore(self) -> int:
        """Put the saved items and objects into the new stack; return the number of items.

        Raises SavedDataError for data that this version cannot read.
        """
        path = self._folder / _ITEMS
        if not path.exists():
            return 0
        mappings = self._remove_stream_mappings()
        try:
            count = self._restore_items(path)
            self._restore_objects()
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise SavedDataError(f"{path}: the saved data cannot be read: {error}; move the folder away") from error
        finally:
            self._create_mappings(mappings)
        return count

    def save(self) -> int:
        """Write all items and new objects; return the number of items. Raises SavedDataError."""
        with self._lock:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._save_objects()
                return self._save_items(self._folder / _ITEMS)
            except (OSError, ClientError, BotoCoreError) as error:
                raise SavedDataError(f"{self._folder}: the data of the cloud cannot be saved: {error}") from error

    def _save_items(self, path: Path) -> int:
        fresh, count = path.with_suffix(".new"), 0
        with fresh.open("wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
                packed.write(json.dumps({"format": FORMAT}).encode() + b"\n")
                for table, item in self._items():
                    packed.write(json.dumps([table, item], default=_text, separators=(",", ":")).encode() + b"\n")
                    count += 1
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        return count

    def _items(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        dynamodb = self._cloud.client("dynamodb")
        for table in TABLES:
            pages = dynamodb.get_paginator("scan").paginate(TableName=self._cloud.outputs[table], ConsistentRead=True)
            for page in pages:
                yield from ((table, item) for item in page["Items"])

    def _restore_items(self, path: Path) -> int:
        count = 0
        with gzip.open(path, "rt") as lines:
            found = json.loads(next(lines, ""))["format"]
            if found != FORMAT:
                raise SavedDataError(
                    f"{path}: format {found}, this version reads format {FORMAT}: it was written by a newer version; "
                    "install that version again, or use another --dir"
                )
            waiting: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
            for line in lines:
                table, item = json.loads(line, object_hook=_bytes)
                waiting[table].append(item)
                count += 1
                if len(waiting[table]) == _BATCH:
                    self._put(table, waiting.pop(table))
                    waiting[table] = []
            for table, items in waiting.items():
                self._put(table, items)
        return count

    def _put(self, table: str, items: list[dict[str, Any]]) -> None:
        left = {self._cloud.outputs[table]: [{"PutRequest": {"Item": item}} for item in items]} if items else {}
        while left:
            left = self._cloud.client("dynamodb").batch_write_item(RequestItems=left).get("UnprocessedItems", {})

    def _save_objects(self) -> None:
        """Copy the objects of the archive that are new or changed, and remove those that no longer exist."""
        s3, bucket, folder = self._cloud.client("s3"), self._cloud.outputs[ARCHIVE], self._folder / _OBJECTS
        found = set()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for one in page.get("Contents", []):
                path = folder / one["Key"]
                found.add(path)
                if path.is_file() and path.stat().st_mtime >= one["LastModified"].timestamp():
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read())
        for path in [path for path in folder.rglob("*") if path.is_file() and path not in found]:
            path.unlink()

    def _restore_objects(self) -> None:
        s3, folder = self._cloud.client("s3"), self._folder / _OBJECTS
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            key = path.relative_to(folder).as_posix()
            s3.put_object(Bucket=self._cloud.outputs[ARCHIVE], Key=key, Body=path.read_bytes())

    def _remove_stream_mappings(self) -> list[dict[str, Any]]:
        functions = self._cloud.client("lambda")
        found = [
            mapping
            for page in functions.get_paginator("list_event_source_mappings").paginate()
            for mapping in page["EventSourceMappings"]
            if ":dynamodb:" in mapping["EventSourceArn"]
        ]
        for mapping in found:
            functions.delete_event_source_mapping(UUID=mapping["UUID"])
        return found

    def _create_mappings(self, mappings: list[dict[str, Any]]) -> None:
        for mapping in mappings:
            kept = {key: mapping[key] for key in _MAPPING_KEYS if mapping.get(key)}
            self._cloud.client("lambda").create_event_source_mapping(
                EventSourceArn=mapping["EventSourceArn"],
                FunctionName=mapping["FunctionArn"],
                StartingPosition="LATEST",
                **kept,
            )


class SavingThread:
    """Thread that saves the data at an interval, and once more at its end; a context manager."""

    def __init__(self, saved: SavedData, every_s: float) -> None:
        self._saved, self._every_s = saved, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="saving", daemon=True)

    def __enter__(self) -> SavingThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._saved.save()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._saved.save()
            except SavedDataError as error:
                _LOG.warning("%s", error)


def _text(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} in an item")


def _bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$bytes"]) if value.keys() == {"$bytes"} else value
