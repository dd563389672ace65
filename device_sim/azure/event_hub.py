"""Events of IoT Hub as the Functions host passes them to Python: by azure-functions' own converter."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import azure.functions as func
from azure.functions.eventhub import EventHubTriggerConverter
from azure.functions.meta import Datum

_CONTENT_TYPE = "$.ct"


class DeviceMessage(NamedTuple):
    """A message that a device published: the id is that of its credentials, ``properties`` are those of its topic."""

    device: str
    body: bytes
    properties: dict[str, str]
    enqueued_ms: int
    number: int


class _Bytes(NamedTuple):
    bytes: list[bytes]


def events_of(messages: Sequence[DeviceMessage]) -> list[func.EventHubEvent]:
    """Return the events of an invocation of a trigger with the cardinality ``many``."""
    system = [
        {
            "EnqueuedTimeUtc": _time(message.enqueued_ms),
            "SequenceNumber": message.number,
            "Offset": message.number * 1_000,
            "PartitionKey": message.device,
            "iothub-connection-device-id": message.device,
            "iothub-connection-auth-method": '{"scope":"device","type":"x509Certificate","issuer":"external"}',
            "iothub-enqueuedtime": _time(message.enqueued_ms),
            "iothub-message-source": "Telemetry",
        }
        | ({"content-type": message.properties[_CONTENT_TYPE]} if _CONTENT_TYPE in message.properties else {})
        for message in messages
    ]
    # The hub makes system properties of those whose names begin with a dollar sign.
    properties = [{name: text for name, text in one.properties.items() if name[:1] != "$"} for one in messages]
    metadata: dict[str, Any] = {
        "SystemPropertiesArray": Datum(json.dumps(system), "json"),
        "PropertiesArray": Datum(json.dumps(properties), "json"),
    }
    data = Datum(_Bytes([message.body for message in messages]), "collection_bytes")
    return EventHubTriggerConverter.decode_multiple_events(data, metadata)


def _time(ms: int) -> str:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
