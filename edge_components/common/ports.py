"""The ports that components work against; tests give fakes, :mod:`edge_components.common.ipc` the real bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

Handler = Callable[[str, bytes], None]
"""Called with topic and payload, always on the component's own loop, in the order of arrival."""


class Clock(Protocol):
    """Event time and intervals are two things: the first from the wall clock, the second never from it."""

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()


class Subscription(Protocol):
    """A subscription that the bus opens, retries and renews beside the component's work."""

    @property
    def active(self) -> bool:
        """Whether the nucleus has accepted the subscription and not closed it since."""

    def renew(self, reason: str) -> None:
        """Subscribe again, since messages seem to be missing; ``reason`` is logged, and repeated requests are paced."""


class Bus(Protocol):
    """Local publish/subscribe, IoT Core, and the component's own configuration.

    Methods that publish or read raise BusError or one of its kinds (see edge_components.common.errors), also while the
    connection is lost: the bus connects again by itself. Subscribing never fails and never waits.
    """

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish on a local topic; the nucleus has it when this returns."""

    def subscribe(
        self,
        topic: str,
        handler: Handler,
        *,
        expects_traffic: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> Subscription:
        """Subscribe to a local topic, and again for as long as that fails.

        ``expects_traffic`` renews the subscription when nothing came for a while: a nucleus can lose a subscription
        without a sign. A message can come twice then. ``on_open`` is called each time that a stream opens: messages
        sent before may be lost.
        """

    def publish_to_iot_core(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; the nucleus has queued it when this returns, which proves nothing more."""

    def subscribe_to_iot_core(self, topic: str, handler: Handler) -> Subscription:
        """Subscribe to an IoT Core topic with QoS 1, and again for as long as that fails."""

    def configuration(self) -> Mapping[str, Any]:
        """Return the component's merged configuration."""

    def on_configuration(self, validate: Callable[[Mapping[str, Any]], str | None], apply: Callable[[], None]) -> None:
        """Watch for updates: ``validate`` returns what is wrong or None, ``apply`` runs on the loop after a change."""

    def tick(self) -> float:
        """Connect, subscribe and renew where it is due; return the seconds until the next call at the latest."""

    def inactive(self) -> Sequence[str]:
        """Return the subscriptions that are not active."""
