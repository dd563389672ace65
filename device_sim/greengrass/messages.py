"""Messages of the event-stream RPC connection protocol: their types, flags, headers and JSON payloads. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from device_sim.greengrass import eventstream
from device_sim.greengrass.errors import NucleusError, OperationError
from device_sim.greengrass.eventstream import Header, HeaderType

PROTOCOL_VERSION = "0.1.0"


class Type(IntEnum):
    """``:message-type``."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


SERVICE = "aws.greengrass#GreengrassCoreIPC"
UNSUPPORTED = "aws#UnsupportedOperation"
"""Error type of the Java nucleus for an operation that the model does not contain."""
CONNECTION_ACCEPTED = 1
TERMINATE_STREAM = 2


class ProtocolError(NucleusError):
    """A protocol violation; the connection is closed after one more message."""


def protocol_headers(kind: Type, flags: int = 0) -> tuple[Header, ...]:
    """Return the headers of a message that belongs to the connection and to no stream."""
    return (
        eventstream.int32(":message-type", kind),
        eventstream.int32(":message-flags", flags),
        eventstream.int32(":stream-id", 0),
    )


def int_header(headers: Mapping[str, Header], name: str, default: int | None = None) -> int:
    """Return the value of an integer header; raises ProtocolError for another type, or without it and a default."""
    header = headers.get(name)
    if header is None and default is not None:
        return default
    if header is None or header.type is not HeaderType.INT32 or not isinstance(header.value, int):
        raise ProtocolError(f"header {name} is missing or no int32")
    return header.value


def json_object(payload: bytes) -> Mapping[str, Any]:
    """Return the JSON object of a request; an empty payload is an empty object. Raises OperationError."""
    try:
        value = json.loads(payload or b"{}")
    except (ValueError, RecursionError) as error:
        raise OperationError("InvalidArgumentsError", f"the payload is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise OperationError("InvalidArgumentsError", "the payload is not a JSON object")
    return value
