"""Channels of SNS topics: each transition as a CloudEvent, with attributes for filter policies.

A subscriber by e-mail gets a readable text with a subject, every other protocol the JSON.
"""

from __future__ import annotations

import json
from typing import Any

from cloud_functions.adapters.aws import lazy_client, store_errors
from cloud_functions.adapters.channels.registry import Pair, chunks, register
from cloud_functions.core.channels import ChannelType
from cloud_functions.core.deliveries import Delivery
from cloud_functions.core.errors import StoreError
from cloud_functions.core.messages.text import alerts_of, ascii_subject, body, subject

MAX_BATCH = 10


class SnsDeliverer:
    """Publishes to the topic of a channel, or to the stack's topic."""

    def __init__(self, topic: str, link: str = "", sns: Any = None) -> None:
        self._topic, self._link = topic, link
        self._client = sns if sns is not None else lazy_client("sns")

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Publish events, ten in a request."""
        topics = [str(channel.settings.get("topic") or self._topic) for _, channel in deliveries]
        reasons = [""] * len(deliveries)
        for topic in dict.fromkeys(topics):
            indices = [at for at, one in enumerate(topics) if one == topic]
            for _, part in chunks(indices, MAX_BATCH):
                self._publish(topic, [(at, deliveries[at][0]) for at in part], reasons)
        return reasons

    def _publish(self, topic: str, part: list[tuple[int, Delivery]], reasons: list[str]) -> None:
        try:
            with store_errors(f"publish to {topic.rsplit(':', 1)[-1]}"):
                entries = [self._entry(str(at), one) for at, one in part]
                answer = self._client.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        except StoreError as error:
            for at, _ in part:
                reasons[at] = str(error)
            return
        for failed in answer.get("Failed", []):
            reasons[int(failed["Id"])] = f"{failed.get('Code')}: {failed.get('Message', '')}"[:300]

    def _entry(self, entry_id: str, delivery: Delivery) -> dict[str, Any]:
        event = delivery.event
        forms = {"default": json.dumps(dict(event)), "email": body(event, self._link), "sms": subject(event)}
        alert = alerts_of(event)[0]
        attributes = {
            "type": str(event["type"]),
            "gateway": delivery.gateway,
            "series": str(alert.get("series", "")),
            "severity": str(alert["severity"]),
            "kind": str(alert["kind"]),
            "state": str(alert["state"]),
            "idempotency_key": delivery.key,
        }
        return {
            "Id": entry_id,
            "Subject": ascii_subject(subject(event)),
            "Message": json.dumps(forms),
            "MessageStructure": "json",
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": text} for name, text in attributes.items() if text
            },
        }


register(ChannelType.SNS, lambda options: SnsDeliverer(options.alerts_topic, options.link))
