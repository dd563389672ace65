"""Reprocessing of a range of a table's stream by the function that failed on it.

The dead letter that refers to a range has the format of Lambda's destination for failures.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from cloud_functions.adapters.aws import error_code, store_errors
from cloud_functions.core.deadletters import STREAM
from cloud_functions.core.errors import NoRedriveTargetError, StoreError
from cloud_functions.core.ports import DeadLetter

_MAX_PAGES = 100
"""Limit of pages; a page may be empty although more follow."""


class StreamRange(NamedTuple):
    """A range of a table's stream: first and last sequence number in a shard."""

    stream: str
    shard: str
    first: str
    last: str


def of_failure(letter: DeadLetter) -> DeadLetter:
    """Return a letter of the function's failure destination, with the failure as its detail."""
    try:
        failure: Any = json.loads(letter.body)
        info = failure["DDBStreamBatchInfo"]
        table = str(info["streamArn"]).split("/")[1]
        detail = f"{failure['requestContext']['condition']}: {info['batchSize']} changes of {table}"
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        detail = f"unknown form: {type(error).__name__}"
    return letter._replace(attributes={"reason": STREAM, "detail": detail})


def stream_range_of(body: str) -> StreamRange:
    """Return the range to which a letter refers; raises NoRedriveTargetError for another letter."""
    try:
        info: Any = json.loads(body)["DDBStreamBatchInfo"]
        first, last = str(info["startSequenceNumber"]), str(info["endSequenceNumber"])
        if int(first) > int(last):
            raise ValueError(f"from {first:.40} to {last:.40}")
        return StreamRange(str(info["streamArn"]), str(info["shardId"]), first, last)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        text = f"it does not refer to a range of a stream: {type(error).__name__}: {str(error)[:200]}"
        raise NoRedriveTargetError(text) from error


class StreamReplay:
    """Implementation of :class:`cloud_functions.core.ports.Replay`; ``function`` is the consumer of the stream."""

    def __init__(self, streams: Any, functions: Any, function: str) -> None:
        self._streams, self._functions, self._function = streams, functions, function

    def replay(self, reference: str) -> None:
        """Invoke the function with the records of the range to which a letter's body refers.

        Raises NoRedriveTargetError for another body and when the stream no longer has them (streams keep 24 hours),
        StoreError when the function failed again or the outcome is unknown.
        """
        stream_range = stream_range_of(reference)
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
