"""Push requests of Pub/Sub: their message in the form that the core reads.

A message has the bytes of a batch as its data, and the MQTT topic on which the gateway published it as the attribute
``topic``. The broker guarantees that the topic names the publisher; nothing else in the request does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud_functions.core.errors import CloudError


class InvalidPushError(CloudError):
    """The request has not the form of a push request."""


@dataclass(frozen=True, slots=True)
class PushedMessage:
    """Message of a push request; ``attempt`` is counted from 1."""

    id: str
    body: str
    attempt: int


def read_batch(content: bytes, now_ms: int) -> PushedMessage:
    """Return the message of a request as the envelope that the core reads; raises InvalidPushError.

    A message that does not contain a batch is returned, too: the core keeps it as a dead letter. See
    cloud_functions.core.arrival for the envelope.
    """
    message, attempt = _message_of(content)
    try:
        data, attributes = str(message.get("data", "")), dict(message.get("attributes") or {})
        published = message.get("publishTime")
        received_ms = now_ms if published is None else _milliseconds(str(published))
    except (ValueError, TypeError) as error:
        raise _invalid(error) from error
    fields = {"data": data, "topic": attributes.get("topic", ""), "client": "", "principal": ""}
    return PushedMessage(str(message["messageId"]), json.dumps({**fields, "received_at": received_ms}), attempt)


def read_text(content: bytes) -> PushedMessage:
    """Return the message of a request, whose data is a text; raises InvalidPushError."""
    message, attempt = _message_of(content)
    try:
        text = base64.b64decode(str(message.get("data", "")), validate=True).decode()
    except ValueError as error:
        raise _invalid(error) from error
    return PushedMessage(str(message["messageId"]), text, attempt)


def _message_of(content: bytes) -> tuple[Mapping[str, Any], int]:
    """Return the message of a push request, and the number of the attempt to deliver it."""
    try:
        request: Any = json.loads(content)
        message = dict(request["message"])
        message["messageId"]
        return message, int(request.get("deliveryAttempt", 1))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _invalid(error) from error


def _invalid(error: Exception) -> InvalidPushError:
    return InvalidPushError(f"not a push request of Pub/Sub: {type(error).__name__}: {str(error)[:200]}")


def _milliseconds(text: str) -> int:
    """Return a time of RFC 3339, which may have nanoseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
