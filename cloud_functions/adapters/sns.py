"""Alerts to an SNS topic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cloud_functions.adapters.aws import client, store_errors


class SnsPublisher:
    """Publishes to the topic ``arn``; type and gateway are attributes, so that subscriptions can filter by them."""

    def __init__(self, arn: str, sns: Any = None) -> None:
        self._arn = arn
        self._client = sns if sns is not None else client("sns")

    def publish(self, gateway: str, envelope: Mapping[str, object]) -> None:
        """Publish the envelope; raises StoreError when it could not be handed over."""
        attributes = {"type": str(envelope["type"]), "gateway": gateway}
        with store_errors(f"alert of {gateway} to SNS"):
            self._client.publish(
                TopicArn=self._arn,
                Message=json.dumps(envelope),
                MessageAttributes={k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()},
            )
