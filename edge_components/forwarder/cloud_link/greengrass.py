"""Link over the nucleus: batches on topics of Basic Ingest, acknowledgements by a subscription to AWS IoT Core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_components.common.ports import Bus, Handler, Subscription
from wire import topics
from wire.topics import RULES, Lane


class GreengrassLink:
    """Implementation of :class:`edge_components.forwarder.cloud_link.port.CloudLink`."""

    def __init__(self, bus: Bus, gateway: str, rules: str = RULES) -> None:
        self._bus, self._gateway = bus, gateway
        self.rules = rules
        """Beginning of the names of the cloud's topic rules."""
        self._subscription: Subscription | None = None

    def start(self, on_acknowledgement: Handler) -> Subscription:
        """Subscribe through the nucleus, once."""
        if self._subscription is None:
            self._subscription = self._bus.subscribe_to_iot_core(topics.ack(self._gateway), on_acknowledgement)
        return self._subscription

    def topic(self, lane: Lane) -> str:
        """Return the Basic Ingest topic of a lane."""
        return topics.ingest(self._gateway, lane, self.rules)

    def publish(self, topic: str, payload: bytes) -> None:
        """Pass a batch to the nucleus, which queues it; raises BusError."""
        self._bus.publish_to_iot_core(topic, payload)

    def health(self) -> Mapping[str, Any]:
        """Return an empty state: the bus reports its subscriptions."""
        return {}

    def close(self) -> None:
        """Do nothing: the bus closes its subscriptions."""
