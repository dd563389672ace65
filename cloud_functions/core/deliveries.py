"""Deliveries: a CloudEvent for one channel, as a message of the queue of the channel's type.

Delivery is at least once. The key of a delivery, the event's id and the channel's name, is the same whenever it is
repeated, and is given to the receiver where its protocol has a place for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cloud_functions.core.channels import Channel
from cloud_functions.core.errors import CloudError

FIRST_RETRY_S, LONGEST_RETRY_S = 5, 900


class DeliveryError(CloudError):
    """The channel did not accept an event; it is delivered again after a while."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for a channel, by name: its settings are read when it is delivered."""

    channel: str
    gateway: str
    event: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Idempotency key."""
        return f"{self.event['id']}/{self.channel}"

    def to_json(self) -> str:
        """Return the delivery as the body of a message."""
        body = {"channel": self.channel, "gateway": self.gateway, "event": dict(self.event)}
        return json.dumps(body, separators=(",", ":"))

    @classmethod
    def from_json(cls, body: str) -> Delivery:
        """Return the delivery of a message; raises DeliveryError for another text."""
        try:
            data = json.loads(body)
            return cls(str(data["channel"]), str(data["gateway"]), dict(data["event"]))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DeliveryError(f"not a delivery: {type(error).__name__}: {str(error)[:100]}") from error


class Deliverer(Protocol):
    """Delivers events to the channels of one type."""

    def deliver(self, deliveries: list[tuple[Delivery, Channel]]) -> list[str]:
        """Deliver events; return for each the reason why it was not accepted, empty if it was."""


def retry_after_s(attempt: int) -> int:
    """Return the seconds until the next attempt, after the ``attempt``-th (from 1) has failed."""
    return int(min(LONGEST_RETRY_S, FIRST_RETRY_S * 3 ** max(0, min(attempt, 10) - 1)))
