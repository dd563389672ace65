"""The ports that components work against; tests give fakes, :mod:`edge_components.common.ipc` the real bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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


class Bus(Protocol):
    """Local publish/subscribe, IoT Core, and the component's own configuration.

    Every method raises BusError or one of its kind (see edge_components.common.errors).
    """

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish on a local topic; the nucleus has it when this returns."""

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Subscribe to a local topic."""

    def publish_to_iot_core(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; the nucleus has queued it when this returns, which proves nothing more."""

    def subscribe_to_iot_core(self, topic: str, handler: Handler) -> None:
        """Subscribe to an IoT Core topic with QoS 1."""

    def configuration(self) -> Mapping[str, Any]:
        """Return the component's merged configuration."""

    def on_configuration(self, validate: Callable[[Mapping[str, Any]], str | None], apply: Callable[[], None]) -> None:
        """Watch for updates: ``validate`` returns what is wrong or None, ``apply`` runs on the loop after a change."""
