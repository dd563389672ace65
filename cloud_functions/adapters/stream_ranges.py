"""Reprocessing of a range of a table's stream by the function that failed on it."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from cloud_functions.adapters.aws import error_code, store_errors
from cloud_functions.core.errors import NoRedriveTargetError, StoreError
from cloud_functions.core.ports import StreamRange

_MAX_PAGES = 100
"""Limit of pages; a page may be empty although more follow."""


class StreamReplay:
    """Implementation of :class:`cloud_functions.core.ports.Replay`; ``function`` is the consumer of the stream."""

    def __init__(self, streams: Any, functions: Any, function: str) -> None:
        self._streams, self._functions, self._function = streams, functions, function

    def replay(self, stream_range: StreamRange) -> None:
        """Invoke the function with the records of the range.

        Raises NoRedriveTargetError when the stream no longer has them (streams keep 24 hours), StoreError when the
        function failed again or the outcome is unknown.
        """
        event = json.dumps({"Records": list(self._records(stream_range))}, default=_plain).encode()
        with store_errors("invoke the function"):
            answer = self._functions.invoke(FunctionName=self._function, Payload=event)
        if "FunctionError" in answer:
            raise StoreError(f"the function failed on it again: {answer['Payload'].read()[:300]!r}")

    def _records(self, stream_range: StreamRange) -> Iterator[dict[str, Any]]:
        iterator = self._iterator(stream_range)
        for _ in range(_MAX_PAGES):
            with store_errors("read the stream"):
                page = self._streams.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                if int(record["dynamodb"]["SequenceNumber"]) > int(stream_range.last):
                    return
                if _wanted(record):
                    yield record
                if record["dynamodb"]["SequenceNumber"] == stream_range.last:
                    return
            iterator = page.get("NextShardIterator")
            if iterator is None:
                return

    def _iterator(self, stream_range: StreamRange) -> str:
        try:
            with store_errors("read the stream"):
                return str(
                    self._streams.get_shard_iterator(
                        StreamArn=stream_range.stream,
                        ShardId=stream_range.shard,
                        ShardIteratorType="AT_SEQUENCE_NUMBER",
                        SequenceNumber=stream_range.first,
                    )["ShardIterator"]
                )
        except StoreError as error:
            gone = ("TrimmedDataAccessException", "ResourceNotFoundException")
            if isinstance(error.__cause__, ClientError) and error_code(error.__cause__) in gone:
                raise NoRedriveTargetError("the stream no longer has the range: streams keep 24 hours") from error
            raise


def _wanted(record: dict[str, Any]) -> bool:
    """Return True for a record that passes the event source's filter (template.yaml, Reports and Changes)."""
    kind = record["dynamodb"].get("NewImage", {}).get("kind", {}).get("S")
    return bool(kind == "alert" or (kind == "anomaly" and record["eventName"] == "INSERT"))


def _plain(value: object) -> object:
    """Return a value in the form of Lambda's JSON."""
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} in a record of a stream")
