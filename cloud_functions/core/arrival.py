"""Parsing of the topic rule's envelope and checks of the batch in it.

The rule sends ``{"data": base64, "topic", "client", "principal", "received_at"}`` (see template.yaml). The gateway's
IoT policy guarantees that the topic names the publisher; here batch, topic and client must agree.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from cloud_functions.core.errors import Reason, RejectError
from wire import topics
from wire.errors import WireError
from wire.summary import Name, read_name

NO_CLIENT = ("", "N/A", "n/a")
"""Values of clientid() for a publish over HTTP."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The rule's projection of a publish."""

    data: bytes
    gateway: str
    lane: str
    client: str
    received_ms: int


def read_envelope(body: str) -> Envelope:
    """Parse a message of the queue; raises RejectError (envelope) for anything that the rule does not send."""
    try:
        fields: Any = json.loads(body)
        data = base64.b64decode(fields["data"], validate=True)
        topic, received_ms = fields["topic"], fields["received_at"]
        if type(topic) is not str or type(received_ms) is not int or received_ms < 0:
            raise ValueError(f"topic {topic!r:.200}, received_at {received_ms!r:.40}")
        gateway = topics.gateway_of(topic)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error, WireError) as error:
        raise RejectError(Reason.ENVELOPE, f"{type(error).__name__}: {str(error)[:300]}") from error
    client = fields.get("client")
    return Envelope(data, gateway, topic.rsplit("/", 1)[1], client if isinstance(client, str) else "", received_ms)


def write_envelope(data: bytes, gateway: str, lane: str, received_ms: int, *, client: str, principal: str = "") -> str:
    """Return the message that the rule sends to the queue for a publish of ``gateway``."""
    fields = {
        "data": base64.b64encode(data).decode(),
        "topic": topics.published(gateway, lane),
        "client": client,
        "principal": principal,
        "received_at": received_ms,
    }
    return json.dumps(fields)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A received batch whose sender and checksum are checked; its rows are still encoded."""

    envelope: Envelope
    name: Name

    @property
    def digest(self) -> bytes:
        """The fingerprint of its bytes."""
        return fingerprint(self.envelope.data)


def open_envelope(envelope: Envelope, *, check_client: bool) -> Arrival:
    """Read the name of the batch and check its sender; raises RejectError (codec or gateway).

    With ``check_client`` the MQTT client's id must be the gateway's name, or that and ``#`` and a number, as the
    Greengrass nucleus numbers its further connections.
    """
    try:
        name = read_name(envelope.data)
    except WireError as error:
        raise unreadable(error) from error
    if name.gateway != envelope.gateway:
        raise RejectError(Reason.GATEWAY, f"the batch names {name.gateway[:140]}, the topic {envelope.gateway}")
    client = envelope.client
    if check_client and client not in NO_CLIENT and client.split("#", 1)[0] != envelope.gateway:
        raise RejectError(Reason.GATEWAY, f"client {client[:140]} published for {envelope.gateway}")
    return Arrival(envelope, name)


def unreadable(error: WireError) -> RejectError:
    """Return the rejection of a batch that cannot be decoded."""
    return RejectError(Reason.CODEC, f"{type(error).__name__}: {str(error)[:300]}")


def fingerprint(data: bytes) -> bytes:
    """Return a 16-byte digest that identifies the content."""
    return hashlib.sha256(data).digest()[:16]
