"""Channels that clouds other than AWS cannot deliver to."""

from __future__ import annotations

from cloud_functions.adapters.channels.registry import Pair
from cloud_functions.core.channels import Channel


class UnavailableDeliverer:
    """Rejects the deliveries of a type of channel that the ``cloud`` has no service for."""

    def __init__(self, cloud: str) -> None:
        self._cloud = cloud

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Return the reason for each."""
        return [
            f"channel {channel.name}: {channel.type} is not available on {self._cloud}" for _, channel in deliveries
        ]


def reason_of_arn(channel: Channel, cloud: str) -> str:
    """Return the reason why a channel that names a topic or bus of AWS gets no event; empty for one that does not."""
    named = channel.settings.get("topic") or channel.settings.get("bus")
    return f"channel {channel.name}: {str(named)[:100]!r} cannot be reached from {cloud}" if named else ""
