"""Dead letters in SQS queues, and redriving them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloud_functions.adapters.aws import client, store_errors
from cloud_functions.core.ports import DeadLetter, Queue

_AT_ONCE = 10
"""Maximum number of messages per SQS call."""
_WAIT_S = 1
"""Long polling queries all SQS servers, short polling only a subset."""


class SqsDeadLetterSink:
    """Stores texts in the queue at ``url``, with the reason in the message's attributes."""

    def __init__(self, url: str, sqs: Any = None) -> None:
        self._url = url
        self._client = sqs if sqs is not None else client("sqs")

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


class SqsSender:
    """Sends texts to queues."""

    def __init__(self, sqs: Any) -> None:
        self._client = sqs

    def send(self, address: str, body: str) -> None:
        """Send the text to the queue at ``address``; raises StoreError when delivery is not certain."""
        with store_errors("redrive"):
            self._client.send_message(QueueUrl=address, MessageBody=body)


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
