"""Topics of Pub/Sub, through its REST API: queues of deliveries, notification of changes, and dead letters."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloud_functions.adapters.change_relay import message_of
from cloud_functions.adapters.google.service import store_errors
from cloud_functions.core.errors import StoreError

Post = Callable[[str, Mapping[str, Any]], tuple[int, str]]
"""Sends JSON to a path of the API, authorized, and returns status and text of the answer; raises OSError."""

_AT_ONCE, _MAX_BYTES = 1_000, 5_000_000
"""Limits of a request; the service takes 1,000 messages and 10 MB."""
_LOG = logging.getLogger(__name__)
_SECOND_TRY = (429, 500, 502, 503, 504)


class Publisher:
    """Publishes to the topics of a project; a request that failed is sent once more, so a message can be repeated."""

    def __init__(self, project: str, post: Post) -> None:
        self._project, self._post = project, post

    def publish(self, topic: str, messages: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """Publish texts with attributes; raises StoreError unless all are accepted."""
        found = [
            {"data": base64.b64encode(text.encode()).decode(), "attributes": dict(attributes)}
            for text, attributes in messages
        ]
        while found:
            size, number = 0, 0
            while number < min(len(found), _AT_ONCE) and (not number or size + len(found[number]["data"]) < _MAX_BYTES):
                size += len(found[number]["data"])
                number += 1
            self._send(topic, found[:number])
            found = found[number:]

    def _send(self, topic: str, messages: list[dict[str, Any]]) -> None:
        path, problem = f"/v1/projects/{self._project}/topics/{topic}:publish", ""
        for _ in range(2):
            try:
                with store_errors(f"publish to {topic}"):
                    status, answer = self._post(path, {"messages": messages})
            except StoreError as error:
                problem = str(error)
                continue
            if status == 200:
                return
            problem = f"{status} {answer[:200]}"
            if status not in _SECOND_TRY:
                break
        raise StoreError(f"publish to {topic}: {problem}")


class PubSubOutbox:
    """Queues of deliveries: one topic for each type of channel."""

    def __init__(self, topics: Mapping[str, str], publisher: Publisher) -> None:
        self._topics, self._publisher = topics, publisher

    def put(self, channel_type: str, bodies: Sequence[str]) -> None:
        """Put deliveries into the queue of a type of channel; raises StoreError unless all are accepted."""
        self._publisher.publish(self._topics[channel_type], [(body, {}) for body in bodies])


class Waker:
    """Publishes the message that lets alerting process a partition with changes; a lost one is covered by the timer."""

    def __init__(self, topic: str, table: str, publisher: Publisher) -> None:
        self._topic, self._table, self._publisher = topic, table, publisher

    def __call__(self, pk: str) -> None:
        """Publish the message."""
        try:
            self._publisher.publish(self._topic, [(message_of(self._table, pk), {})])
        except StoreError as error:
            _LOG.warning("alerting is not notified: %s", error)


class PubSubDeadLetterSink:
    """Stores texts in a topic, with the reason in the message's attributes."""

    def __init__(self, topic: str, publisher: Publisher) -> None:
        self._topic, self._publisher = topic, publisher

    def keep(self, body: str, attributes: Mapping[str, str]) -> None:
        """Store the unchanged text with attributes; raises StoreError when it is not stored."""
        # A value has at most 1,024 bytes, and an empty one is not allowed.
        kept = {name: text.encode()[:1024].decode(errors="ignore") for name, text in attributes.items() if text}
        self._publisher.publish(self._topic, [(body, kept)])
