"""SQS queues: dead letters and redriving them, and the queues of deliveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cloud_functions.adapters.aws import lazy_client, store_errors
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import DeadLetter, Queue

_AT_ONCE = 10
"""Maximum number of messages per SQS call."""
_MAX_BYTES = 200_000
"""Maximum size of the messages of a call; a character of JSON is one byte here."""
_WAIT_S = 1
"""Long polling queries all SQS servers, short polling only a subset."""


class SqsDeadLetterSink:
    """Stores texts in the queue at ``url``, with the reason in the message's attributes."""

    def __init__(self, url: str, sqs: Any = None) -> None:
        self._url = url
        self._client = sqs if sqs is not None else lazy_client("sqs")

    def keep(self, body: str, attributes: Mapping[str, str]) -> None:
        """Store the unchanged text with attributes; raises StoreError when it is not stored."""
        typed = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items() if text}
        with store_errors("keep a dead letter"):
            self._client.send_message(QueueUrl=self._url, MessageBody=body, MessageAttributes=typed)


class SqsDeadLetterQueue:
    """Implementation of :class:`cloud_functions.core.ports.DeadLetterQueue` for the queue at ``url``.

    ``convert`` converts letters in the format of the service that sent them.
    """

    def __init__(self, url: str, sqs: Any, convert: Callable[[DeadLetter], DeadLetter] | None = None) -> None:
        self._url, self._client, self._convert = url, sqs, convert or _unchanged

    def receive(self, hide_s: int) -> list[DeadLetter]:
        """Return a few letters, hidden from other receivers for ``hide_s`` seconds; an empty list when none is left."""
        with store_errors("receive dead letters"):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_AT_ONCE,
                VisibilityTimeout=hide_s,
                WaitTimeSeconds=_WAIT_S,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp", "DeadLetterQueueSourceArn"],
            )
        return [self._convert(_letter(message)) for message in answer.get("Messages", [])]

    def release(self, handles: Sequence[str]) -> None:
        """Make letters visible again."""
        for at in range(0, len(handles), _AT_ONCE):
            entries = [
                {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for n, handle in enumerate(handles[at : at + _AT_ONCE])
            ]
            # A letter whose handle has expired is visible again already.
            with store_errors("release dead letters"):
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def delete(self, handle: str) -> None:
        """Delete a letter."""
        with store_errors("delete a dead letter"):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=handle)


class SqsDeadLetterQueues:
    """Several queues as one: they are received from at the same time, because each receipt waits for messages."""

    def __init__(self, queues: Sequence[SqsDeadLetterQueue]) -> None:
        self._queues = queues

    def receive(self, hide_s: int) -> list[DeadLetter]:
        """Return a few letters of each queue, hidden from other receivers for ``hide_s`` seconds."""
        with ThreadPoolExecutor(len(self._queues)) as pool:
            found = pool.map(lambda one: one.receive(hide_s), self._queues)
            return [
                letter._replace(handle=f"{at}:{letter.handle}")
                for at, letters in enumerate(found)
                for letter in letters
            ]

    def release(self, handles: Sequence[str]) -> None:
        """Make letters visible again."""
        for at, one in enumerate(self._queues):
            one.release([handle.partition(":")[2] for handle in handles if handle.startswith(f"{at}:")])

    def delete(self, handle: str) -> None:
        """Delete a letter."""
        at, _, own = handle.partition(":")
        self._queues[int(at)].delete(own)


class SqsSender:
    """Sends texts to queues."""

    def __init__(self, sqs: Any) -> None:
        self._client = sqs

    def send(self, address: str, body: str) -> None:
        """Send the text to the queue at ``address``; raises StoreError when delivery is not certain."""
        with store_errors("redrive"):
            self._client.send_message(QueueUrl=address, MessageBody=body)


class SqsOutbox:
    """Implementation of :class:`cloud_functions.core.ports.Outbox`: the URL of a queue for each type of channel."""

    def __init__(self, urls: Mapping[str, str], sqs: Any = None) -> None:
        self._urls = urls
        self._client = sqs if sqs is not None else lazy_client("sqs")

    def put(self, channel_type: str, bodies: Sequence[str]) -> None:
        """Send messages, ten in a request, or fewer that are large; raises StoreError unless all are accepted."""
        waiting = list(bodies)
        while waiting:
            part: list[str] = []
            size = 0
            while waiting and len(part) < _AT_ONCE and (not part or size + len(waiting[0]) <= _MAX_BYTES):
                part.append(waiting.pop(0))
                size += len(part[-1])
            entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(part)]
            with store_errors(f"send to the queue of {channel_type}"):
                answer = self._client.send_message_batch(QueueUrl=self._urls[channel_type], Entries=entries)
            if failed := answer.get("Failed"):
                raise StoreError(f"send to the queue of {channel_type}: {failed[0].get('Code')}")


class SqsVisibility:
    """Delays the next delivery of a received message."""

    def __init__(self, urls: Mapping[str, str], sqs: Any = None) -> None:
        self._urls = urls
        self._client = sqs if sqs is not None else lazy_client("sqs")

    def delay(self, queue_name: str, handle: str, seconds: int) -> None:
        """Make a message of a queue visible again after some seconds; raises StoreError."""
        url = next((url for url in self._urls.values() if url.rsplit("/", 1)[-1] == queue_name), None)
        if url is None:
            return
        with store_errors("delay a delivery"):
            self._client.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)


def queue(url: str) -> Queue:
    """Return the queue at a URL."""
    return Queue(url.rsplit("/", 1)[-1], url)


def _letter(message: Mapping[str, Any]) -> DeadLetter:
    typed = message.get("MessageAttributes", {})
    system = message.get("Attributes", {})
    attributes = {name: value["StringValue"] for name, value in typed.items() if "StringValue" in value}
    # The function that rejected a message names its queue in an attribute, a queue that moved one in the system's.
    arn = attributes.get("source") or system.get("DeadLetterQueueSourceArn", "")
    return DeadLetter(
        id=message["MessageId"],
        handle=message["ReceiptHandle"],
        body=message["Body"],
        attributes=attributes,
        sent_ms=int(system.get("SentTimestamp", 0)),
        source=arn.rsplit(":", 1)[-1],
    )


def _unchanged(letter: DeadLetter) -> DeadLetter:
    return letter
