"""Port of the connection to the cloud over which batches leave the gateway and acknowledgements return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from edge_components.common.ports import Handler, Subscription
from wire.topics import Lane


class CloudLink(Protocol):
    """Connection to the cloud. All methods are called on the component's loop, and none waits for the network.

    A link delivers with QoS 1 and stores nothing: a publication may be lost or arrive twice. The spool keeps a batch
    until its acknowledgement arrives, and the cloud recognizes a repeated batch.
    """

    def start(self, on_acknowledgement: Handler) -> Subscription:
        """Subscribe to the acknowledgements, with retries in the background; a second call has no effect."""

    def topic(self, lane: Lane) -> str:
        """Return the topic of the batches of a lane."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a batch; raises BusError if it cannot be sent or queued now."""

    def health(self) -> Mapping[str, Any]:
        """Return the state of the connection as JSON values; empty if the nucleus reports it."""

    def close(self) -> None:
        """End the connection."""
