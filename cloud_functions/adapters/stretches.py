"""A stretch of a table's stream, read again and handed to the function that gave up on it."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from cloud_functions.adapters.aws import error_code, store_errors
from cloud_functions.core.errors import NoWayBackError, StoreError
from cloud_functions.core.ports import Stretch

_MOST_PAGES = 100
"""A page may be empty though more follow."""


class StreamReplay:
    """Behind :class:`cloud_functions.core.ports.Replay`: ``function`` is the one that is fed by the stream."""

    def __init__(self, streams: Any, functions: Any, function: str) -> None:
        self._streams, self._functions, self._function = streams, functions, function

    def replay(self, stretch: Stretch) -> None:
        """Return when the function has taken the stretch.

        Raises NoWayBackError when the stream no longer has it (they keep 24 hours), StoreError when that is not certain
        or the function failed on it again.
        """
        event = json.dumps({"Records": list(self._records(stretch))}, default=_plain).encode()
        with store_errors("invoke the function"):
            answer = self._functions.invoke(FunctionName=self._function, Payload=event)
        if "FunctionError" in answer:
            raise StoreError(f"the function failed on it again: {answer['Payload'].read()[:300]!r}")

    def _records(self, stretch: Stretch) -> Iterator[dict[str, Any]]:
        iterator = self._iterator(stretch)
        for _ in range(_MOST_PAGES):
            with store_errors("read the stream"):
                page = self._streams.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                if int(record["dynamodb"]["SequenceNumber"]) > int(stretch.last):
                    return
                if _wanted(record):
                    yield record
                if record["dynamodb"]["SequenceNumber"] == stretch.last:
                    return
            iterator = page.get("NextShardIterator")
            if iterator is None:
                return

    def _iterator(self, stretch: Stretch) -> str:
        try:
            with store_errors("read the stream"):
                return str(
                    self._streams.get_shard_iterator(
                        StreamArn=stretch.stream,
                        ShardId=stretch.shard,
                        ShardIteratorType="AT_SEQUENCE_NUMBER",
                        SequenceNumber=stretch.first,
                    )["ShardIterator"]
                )
        except StoreError as error:
            gone = ("TrimmedDataAccessException", "ResourceNotFoundException")
            if isinstance(error.__cause__, ClientError) and error_code(error.__cause__) in gone:
                raise NoWayBackError("the stream no longer has it: streams keep 24 hours") from error
            raise


def _wanted(record: dict[str, Any]) -> bool:
    """Return whether the event source's filter would let it through (template.yaml, Reports and Changes)."""
    kind = record["dynamodb"].get("NewImage", {}).get("kind", {}).get("S")
    return bool(kind == "alert" or (kind == "anomaly" and record["eventName"] == "INSERT"))


def _plain(value: object) -> object:
    """Return a value as Lambda's JSON has it."""
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} in a record of a stream")
