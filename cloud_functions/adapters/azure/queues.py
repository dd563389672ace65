"""Storage queues of deliveries, and dead letters as blobs.

A message of a storage queue has at most 64 KiB. A longer delivery is a blob, and its message names it. Dead letters are
blobs: most are longer than a message, and they are read by people rather than by a function. Blobs are named by their
content, so that a repetition keeps one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueClient

from cloud_functions.adapters.azure.service import store_errors

MAX_BYTES = 48_000
"""Longest message; the service takes 64 KiB of XML, in which some characters are longer."""
_BLOB = "strandline.blob"


class BlobDeadLetterSink:
    """Stores dead letters in a container, each as a JSON document with ``body`` and ``attributes``."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def keep(self, body: str, attributes: Mapping[str, str]) -> None:
        """Store the unchanged text with attributes; raises StoreError when it is not stored."""
        document = json.dumps({"body": body, "attributes": dict(attributes)}, sort_keys=True)
        with store_errors("keep a dead letter"):
            self._container.upload_blob(f"{_name(body)}.json", document.encode(), overwrite=True)


def read_dead_letter(document: bytes) -> tuple[str, dict[str, str]]:
    """Return body and attributes of a dead letter's document."""
    found: dict[str, Any] = json.loads(document)
    return str(found["body"]), {str(name): str(text) for name, text in found["attributes"].items()}


class QueueOutbox:
    """Implementation of :class:`cloud_functions.core.ports.Outbox`: a queue for each type of channel."""

    def __init__(self, queues: Mapping[str, QueueClient], large: ContainerClient) -> None:
        self._queues, self._large = queues, large

    def put(self, channel_type: str, bodies: Sequence[str]) -> None:
        """Send messages one after the other; raises StoreError unless all are accepted."""
        for body in bodies:
            with store_errors(f"send to the queue of {channel_type}"):
                self._queues[channel_type].send_message(self.message_of(body))

    def message_of(self, body: str) -> str:
        """Return the message of a text: a long one is stored as a blob, which the message names."""
        if len(body.encode()) <= MAX_BYTES:
            return body
        name = _name(body)
        self._large.upload_blob(name, body.encode(), overwrite=True)
        return json.dumps({_BLOB: name})


def read_delivery(message: str, large: ContainerClient) -> str:
    """Return the text of a message of a queue of deliveries; raises StoreError."""
    if not message.startswith(f'{{"{_BLOB}"'):
        return message
    with store_errors("read a long delivery"):
        return bytes(large.download_blob(str(json.loads(message)[_BLOB])).readall()).decode()


def _name(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
