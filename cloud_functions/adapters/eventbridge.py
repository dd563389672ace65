"""Alerts to an EventBridge bus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cloud_functions.adapters.aws import client, store_errors
from cloud_functions.core.errors import StoreError

SOURCE = "io.strandline"


class EventBridgePublisher:
    """Puts envelopes on the bus ``name``; detail-type is the CloudEvent's type."""

    def __init__(self, name: str, events: Any = None) -> None:
        self._name = name
        self._client = events if events is not None else client("events")

    def publish(self, gateway: str, envelope: Mapping[str, object]) -> None:
        """Publish the envelope; raises StoreError when it could not be handed over."""
        entry = {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": str(envelope["type"]),
            "Detail": json.dumps(envelope),
            "Resources": [f"strandline:gateway/{gateway}"],
        }
        with store_errors(f"alert of {gateway} to EventBridge"):
            answer = self._client.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            failed = answer["Entries"][0]
            raise StoreError(f"alert of {gateway} to EventBridge: {failed.get('ErrorCode')}")
