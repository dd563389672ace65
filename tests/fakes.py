"""In-memory fakes of the ports, for tests of components."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_components.common.errors import BusError
from edge_components.common.health import Counters
from edge_components.common.lifecycle import Loop, Runtime
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import Handler


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self, wall_ms: int = 1_700_000_000_000, monotonic: float = 1_000.0) -> None:
        self.wall, self.mono = wall_ms, monotonic

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return self.wall

    def monotonic(self) -> float:
        """Return the monotonic clock in seconds."""
        return self.mono

    def advance(self, seconds: float) -> None:
        """Move both clocks on."""
        self.wall += round(seconds * 1000)
        self.mono += seconds


class FakeBus:
    """A bus in memory: keeps what is published, delivers to subscribers at once, fails when told to."""

    def __init__(self, configuration: Mapping[str, Any] | None = None) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.sent: list[tuple[str, bytes]] = []
        self.handlers: dict[str, list[Handler]] = {}
        self.core_handlers: dict[str, list[Handler]] = {}
        self.values = dict(configuration or {})
        self.failure: BusError | None = None

    def publish(self, topic: str, payload: bytes) -> None:
        """Keep and deliver a local message."""
        self._fail()
        self.published.append((topic, payload))
        self.deliver(topic, payload)

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Subscribe to a local topic."""
        self.handlers.setdefault(topic, []).append(handler)

    def publish_to_iot_core(self, topic: str, payload: bytes) -> None:
        """Keep a message to IoT Core."""
        self._fail()
        self.sent.append((topic, payload))

    def subscribe_to_iot_core(self, topic: str, handler: Handler) -> None:
        """Subscribe to an IoT Core topic."""
        self.core_handlers.setdefault(topic, []).append(handler)

    def configuration(self) -> Mapping[str, Any]:
        """Return the configuration given."""
        return self.values

    def on_configuration(self, validate: Callable[[Mapping[str, Any]], str | None], apply: Callable[[], None]) -> None:
        """Keep the callbacks for the test to call."""
        self.validate, self.apply = validate, apply

    def deliver(self, topic: str, payload: bytes) -> None:
        """Deliver a local message as if another component had published it."""
        for handler in self.handlers.get(topic, []):
            handler(topic, payload)

    def deliver_from_core(self, topic: str, payload: bytes) -> None:
        """Deliver a message as if the cloud had published it."""
        for handler in self.core_handlers.get(topic, []):
            handler(topic, payload)

    def on(self, topic: str) -> list[bytes]:
        """Return the payloads published on a local topic, oldest first."""
        return [payload for where, payload in self.published if where == topic]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def fake_runtime(work: Path, gateway: str = "gw-test", seed: int = 1) -> tuple[Runtime, FakeBus, FakeClock]:
    """Return a runtime on fakes, with the bus and the clock to play with."""
    bus, clock, counters, log = FakeBus(), FakeClock(), Counters(), logging.getLogger("strandline.test")
    loop = Loop(counters, log, clock)
    limited_log = RateLimitedLog(counters, log, clock)
    runtime = Runtime(gateway, bus, clock, counters, log, limited_log, loop, work, random.Random(seed))
    return runtime, bus, clock
