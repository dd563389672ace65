"""Dead letters in SQS queues, and the way back from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloud_functions.adapters.aws import client, store_errors
from cloud_functions.core.ports import Letter

_AT_ONCE = 10
"""The most that SQS gives or takes in a call."""
_WAIT_S = 1
"""With a wait SQS asks all of its servers, without one only a few of them."""


class SqsDeadLetters:
    """Keeps texts in the queue at ``url``, with the reason among the message's attributes."""

    def __init__(self, url: str, sqs: Any = None) -> None:
        self._url = url
        self._client = sqs if sqs is not None else client("sqs")

    def keep(self, body: str, attributes: Mapping[str, str]) -> None:
        """Keep the text as it came, with attributes; raises StoreError when it is not kept."""
        typed = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items() if text}
        with store_errors("keep a dead letter"):
            self._client.send_message(QueueUrl=self._url, MessageBody=body, MessageAttributes=typed)


class SqsLetterBox:
    """The dead letters of the queue at ``url``, behind :class:`cloud_functions.core.ports.LetterBox`."""

    def __init__(self, url: str, sqs: Any) -> None:
        self._url, self._client = url, sqs

    def receive(self, hide_s: int) -> list[Letter]:
        """Return a few letters, hidden from others for ``hide_s`` seconds; none when no more are found."""
        with store_errors("receive dead letters"):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_AT_ONCE,
                VisibilityTimeout=hide_s,
                WaitTimeSeconds=_WAIT_S,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp", "DeadLetterQueueSourceArn"],
            )
        return [_letter(message) for message in answer.get("Messages", [])]

    def release(self, handles: Sequence[str]) -> None:
        """Show letters to others again."""
        for at in range(0, len(handles), _AT_ONCE):
            entries = [
                {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for n, handle in enumerate(handles[at : at + _AT_ONCE])
            ]
            # One that is not released (its handle is too old) is shown again already.
            with store_errors("release dead letters"):
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def delete(self, handle: str) -> None:
        """Delete a letter for good."""
        with store_errors("delete a dead letter"):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=handle)


class SqsSender:
    """Puts texts into queues."""

    def __init__(self, sqs: Any) -> None:
        self._client = sqs

    def send(self, url: str, body: str) -> None:
        """Return when the queue at ``url`` has the text; raises StoreError when that is not certain."""
        with store_errors("redrive"):
            self._client.send_message(QueueUrl=url, MessageBody=body)


def _letter(message: Mapping[str, Any]) -> Letter:
    typed = message.get("MessageAttributes", {})
    system = message.get("Attributes", {})
    return Letter(
        id=message["MessageId"],
        handle=message["ReceiptHandle"],
        body=message["Body"],
        attributes={name: value["StringValue"] for name, value in typed.items() if "StringValue" in value},
        sent_ms=int(system.get("SentTimestamp", 0)),
        source=system.get("DeadLetterQueueSourceArn", ""),
    )
