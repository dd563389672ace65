"""Channels of EventBridge buses: each transition as an event whose detail is the CloudEvent."""

from __future__ import annotations

import json
from typing import Any

from cloud_functions.adapters.aws import lazy_client, store_errors
from cloud_functions.adapters.channels.registry import Pair, chunks, register
from cloud_functions.core.channels import ChannelType
from cloud_functions.core.errors import StoreError

SOURCE = "io.strandline"
MAX_BATCH = 10


class EventBridgeDeliverer:
    """Puts events on the bus of a channel, or on the stack's bus; detail-type is the CloudEvent's type."""

    def __init__(self, bus: str, events: Any = None) -> None:
        self._bus = bus
        self._client = events if events is not None else lazy_client("events")

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Put events, ten in a request."""
        reasons: list[str] = []
        for _, part in chunks(deliveries, MAX_BATCH):
            try:
                with store_errors("put events on the bus"):
                    answer = self._client.put_events(Entries=[self._entry(pair) for pair in part])
                reasons += [str(entry.get("ErrorCode") or "") for entry in answer["Entries"]]
            except StoreError as error:
                reasons += [str(error)] * len(part)
        return reasons

    def _entry(self, pair: Pair) -> dict[str, Any]:
        delivery, channel = pair
        return {
            "EventBusName": str(channel.settings.get("bus") or self._bus),
            "Source": SOURCE,
            "DetailType": str(delivery.event["type"]),
            "Detail": json.dumps(dict(delivery.event)),
            "Resources": [f"strandline:gateway/{delivery.gateway}"],
        }


register(ChannelType.EVENTBRIDGE, lambda options: EventBridgeDeliverer(options.bus))
