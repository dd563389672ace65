"""The AWS adapters, against the local AWS with the tables of the template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.iot import IotAcknowledger
from cloud_functions.adapters.s3_archive import S3Archive
from cloud_functions.adapters.sqs import SqsDeadLetterSink, SqsOutbox
from device_sim.aws import process
from device_sim.paths import SOURCE_TREE
from tests.integration.ports.cloud import CHANNEL_TYPES, Adapters
from tests.integration.ports.faults import Faults, FaultyClient
from wire import topics

BUCKET = "archive"


class _Template(yaml.SafeLoader):
    """Loader of templates that ignores the functions of CloudFormation."""


_Template.add_multi_constructor("!", lambda loader, tag, node: None)


def _tables() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and definition of the template's tables, without their streams."""
    template = yaml.load((SOURCE_TREE / "cloud_functions" / "template.yaml").read_text(), _Template)  # noqa: S506 - safe
    wanted = ("BillingMode", "AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes", "GlobalSecondaryIndexes")
    for name in ("TelemetryTable", "AlertsTable"):
        properties = template["Resources"][name]["Properties"]
        yield name, {part: properties[part] for part in wanted if part in properties}


def _throttled(method: str) -> Exception:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, method)


def _half(method: Callable[..., Any], options: dict[str, Any], whole: str, answer: str) -> Any:
    """Send the first half of a request's items; the answer has the others as not processed."""
    ((table, items),) = options[whole].items()
    if isinstance(items, dict):  # keys to read
        sent = items | {"Keys": items["Keys"][: len(items["Keys"]) // 2]}
        left: Any = items | {"Keys": items["Keys"][len(items["Keys"]) // 2 :]}
        empty = not sent["Keys"]
    else:
        sent, left = items[: len(items) // 2], items[len(items) // 2 :]
        empty = not sent
    found = {"Responses": {}} if empty else method(**{whole: {table: sent}})
    return {**found, answer: {table: left}}


def _half_of_messages(method: Callable[..., Any], options: dict[str, Any]) -> Any:
    entries = options["Entries"]
    sent, left = entries[: len(entries) // 2], entries[len(entries) // 2 :]
    if sent:
        method(QueueUrl=options["QueueUrl"], Entries=sent)
    return {"Failed": [{"Id": entry["Id"], "Code": "ServiceUnavailable"} for entry in left]}


_PARTIAL = {
    "batch_write_item": lambda method, options: _half(method, options, "RequestItems", "UnprocessedItems"),
    "batch_get_item": lambda method, options: _half(method, options, "RequestItems", "UnprocessedKeys"),
    "send_message_batch": _half_of_messages,
}


class _IotData:
    """IoT Core's data plane, which records the messages that it accepted: the broker of a test has no gateways."""

    def __init__(self, client: Any) -> None:
        self._client, self.accepted = client, list[tuple[str, bytes]]()

    def publish(self, topic: str, qos: int, payload: bytes) -> None:
        self._client.publish(topic=topic, qos=qos, payload=payload)
        self.accepted.append((topic, payload))


class _LocalAws:
    def __init__(self, emulator: process.Emulator) -> None:
        self.faults = Faults()
        self._emulator = emulator
        self._dynamodb, self._s3, self._sqs = self._client("dynamodb"), self._client("s3"), self._client("sqs")
        self._iot = _IotData(self._client("iot-data"))
        for name, definition in _tables():
            self._dynamodb.create_table(TableName=name, **definition)
        self._s3.create_bucket(Bucket=BUCKET)
        self._queues = {
            name: self._sqs.create_queue(QueueName=name)["QueueUrl"] for name in (*CHANNEL_TYPES, "dead-letters")
        }

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._emulator.url,
            region_name=process.REGION,
            aws_access_key_id=self._emulator.access_key,
            aws_secret_access_key=self._emulator.secret_key,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30, proxies={}),
        )

    def connect(self) -> Adapters:
        def faulty(client: object) -> FaultyClient:
            return FaultyClient(client, self.faults, _throttled, _PARTIAL)

        dynamodb, sqs = faulty(self._dynamodb), faulty(self._sqs)
        channels = {name: self._queues[name] for name in CHANNEL_TYPES}
        return Adapters(
            DynamoTable("TelemetryTable", dynamodb, lambda _: None),
            DynamoTable("AlertsTable", dynamodb, lambda _: None),
            S3Archive(BUCKET, faulty(self._s3)),
            IotAcknowledger(faulty(self._iot)),
            SqsDeadLetterSink(self._queues["dead-letters"], sqs),
            SqsOutbox(channels, sqs),
        )

    def acknowledged(self) -> list[tuple[str, bytes]]:
        sent = [(topics.gateway_of(topic), payload) for topic, payload in self._iot.accepted]
        self._iot.accepted.clear()
        return sent

    def kept(self) -> list[tuple[str, dict[str, str]]]:
        return [
            (message["Body"], {name: typed["StringValue"] for name, typed in message["MessageAttributes"].items()})
            for message in self._received("dead-letters")
        ]

    def queued(self, channel_type: str) -> list[str]:
        return [message["Body"] for message in self._received(channel_type)]

    def _received(self, queue: str) -> Iterator[dict[str, Any]]:
        url = self._queues[queue]
        while messages := self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                yield message


@contextmanager
def start(root: Path) -> Iterator[_LocalAws]:
    """Start the emulator, and create what the adapters use."""
    emulator = process.start(root, None, None)
    try:
        yield _LocalAws(emulator)
    finally:
        emulator.stop()
