"""Stand-in of the REST API of Pub/Sub: publication to topics, with the checks of the real one.

It was written after Google's description of the API and is not the real one: the topic must exist, data must be base64,
attributes are texts of limited sizes, a message has data or attributes, and a request has at most 1,000 messages and
10 MB.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
import threading
from collections.abc import Mapping
from typing import Any

MAX_MESSAGES, MAX_BYTES = 1_000, 10_000_000
MAX_ATTRIBUTES, MAX_KEY_BYTES, MAX_VALUE_BYTES = 100, 256, 1_024
_PATH = re.compile(r"/v1/projects/(?P<project>[^/]+)/topics/(?P<topic>[^/]+):publish")

Message = tuple[bytes, dict[str, str]]
"""Data and attributes."""


class LocalPubSub:
    """Topics of one project, in memory; :meth:`post` is the port of the adapter."""

    def __init__(self, project: str, topics: tuple[str, ...]) -> None:
        self._project, self._messages = project, {name: list[Message]() for name in topics}
        self._ids, self._arrived = itertools.count(1), threading.Condition()

    def post(self, path: str, content: Mapping[str, Any]) -> tuple[int, str]:
        """Answer a request as the API does."""
        found = _PATH.fullmatch(path)
        if found is None or found["project"] != self._project or found["topic"] not in self._messages:
            return 404, f"Resource not found (resource={path})."
        if len(json.dumps(content)) > MAX_BYTES:
            return 400, "The request payload is too large."
        raw = content.get("messages")
        if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_MESSAGES:
            return 400, f"The number of messages must be 1 to {MAX_MESSAGES}."
        try:
            messages = [_message(one) for one in raw]
        except ValueError as error:
            return 400, str(error)
        for data, attributes in messages:
            self.add(found["topic"], data, attributes)
        return 200, json.dumps({"messageIds": [str(next(self._ids)) for _ in messages]})

    def add(self, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        """Accept a message, as from a client of another protocol."""
        with self._arrived:
            self._messages[topic].append((data, attributes))
            self._arrived.notify_all()

    def take(self, topic: str) -> list[Message]:
        """Remove and return the messages of a topic."""
        return self.wait(topic, 0.0)

    def wait(self, topic: str, timeout_s: float) -> list[Message]:
        """Wait until a topic has messages, or until the timeout; remove and return them."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._messages[topic], timeout_s)
            found, self._messages[topic] = self._messages[topic], []
        return found

    def count(self, topic: str) -> int:
        """Return the number of messages of a topic that no one has taken."""
        with self._arrived:
            return len(self._messages[topic])


def _message(raw: Any) -> Message:
    if not isinstance(raw, dict) or not set(raw) <= {"data", "attributes", "orderingKey"}:
        raise ValueError("a message has data, attributes and orderingKey")
    try:
        data = base64.b64decode(raw.get("data", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("data is not base64") from error
    attributes = raw.get("attributes", {})
    if not data and not attributes:
        raise ValueError("a message needs data or attributes")
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"a message has at most {MAX_ATTRIBUTES} attributes")
    for name, value in attributes.items():
        if not 1 <= len(name.encode()) <= MAX_KEY_BYTES or not 1 <= len(value.encode()) <= MAX_VALUE_BYTES:
            raise ValueError(f"attribute {name[:40]!r}: the name or the value has no allowed size")
    return data, attributes
