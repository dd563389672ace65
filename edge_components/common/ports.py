"""Ports of the components; :mod:`edge_components.common.ipc` implements the bus, tests use fakes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

Handler = Callable[[str, bytes], None]
"""Called with topic and payload on the component's loop, in the order of arrival."""


class Clock(Protocol):
    """Wall clock for event times, monotonic clock for intervals."""

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Return monotonic seconds."""


class SystemClock:
    """Clocks of the machine."""

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()


class Subscription(Protocol):
    """Subscription that the bus opens, retries and renews in the background."""

    @property
    def active(self) -> bool:
        """True if the nucleus has accepted the subscription and not closed it since."""

    def renew(self, reason: str) -> None:
        """Subscribe again because messages seem to be missing; ``reason`` is logged, and the rate is limited."""


class Bus(Protocol):
    """Local publish/subscribe, IoT Core, and the component's own configuration.

    Methods that publish or read raise BusError or a subclass (see edge_components.common.errors), also while the
    connection is lost; the bus connects again. Subscribing neither fails nor waits.
    """

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish on a local topic; the nucleus has received the message on return."""

    def subscribe(
        self,
        topic: str,
        handler: Handler,
        *,
        expects_traffic: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> Subscription:
        """Subscribe to a local topic, with retries.

        With ``expects_traffic`` the subscription is renewed after a time without messages, because a nucleus can lose
        a subscription silently; a message may then be received twice. ``on_open`` is called each time a stream opens:
        earlier messages may be lost.
        """

    def publish_to_iot_core(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; on return the nucleus has queued the message, which does not guarantee delivery."""

    def subscribe_to_iot_core(self, topic: str, handler: Handler) -> Subscription:
        """Subscribe to an IoT Core topic with QoS 1, with retries."""

    def configuration(self) -> Mapping[str, Any]:
        """Return the component's merged configuration."""

    def on_configuration(self, validate: Callable[[Mapping[str, Any]], str | None], apply: Callable[[], None]) -> None:
        """Subscribe to updates: ``validate`` returns problems or None, ``apply`` runs on the loop after a change."""

    def tick(self) -> float:
        """Connect, subscribe and renew what is due; return the maximum seconds until the next call."""

    def inactive(self) -> Sequence[str]:
        """Return the subscriptions that are not active."""
