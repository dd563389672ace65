"""Dead letters in an SQS queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloud_functions.adapters.aws import client, store_errors


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
