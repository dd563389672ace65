"""In-memory fakes of the ports, for tests of components."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_components.common.errors import BusError
from edge_components.common.health import Counters
from edge_components.common.lifecycle import Runtime
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.loop import Loop
from edge_components.common.ports import Handler


class FakeClock:
    """Clock that is advanced by the test."""

    def __init__(self, wall_ms: int = 1_700_000_000_000, monotonic: float = 1_000.0) -> None:
        self.wall, self.mono = wall_ms, monotonic

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return self.wall

    def monotonic(self) -> float:
        """Return the monotonic clock in seconds."""
        return self.mono

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self.wall += round(seconds * 1000)
        self.mono += seconds


class FakeSubscription:
    """Subscription on the fake bus; with ``lost`` it silently drops messages until it is renewed."""

    def __init__(
        self,
        bus: FakeBus,
        handler: Handler,
        *,
        core: bool,
        expects_traffic: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> None:
        self.on_open = on_open
        self._bus, self._handler, self._core, self.expects_traffic = bus, handler, core, expects_traffic
        self._established = False
        self.lost = False
        self.renewals: list[str] = []

    @property
    def active(self) -> bool:
        """True if the nucleus accepted it; a subscription to IoT Core is accepted once the bus is online."""
        self._established = self._established or not (self._core and self._bus.offline)
        return self._established

    def renew(self, reason: str) -> None:
        """Record the reason, and receive messages again."""
        self.renewals.append(reason)
        self.lost = False
        if self.on_open is not None:
            self.on_open()

    def deliver(self, topic: str, payload: bytes) -> None:
        """Deliver a message to the component unless ``lost`` is set."""
        if self.active and not self.lost:
            self._handler(topic, payload)


class FakeBus:
    """In-memory bus: records published messages and delivers them to subscribers immediately.

    ``failure`` makes publishing fail. ``offline`` simulates a gateway without internet: subscriptions to IoT Core are
    not answered, messages from there are not delivered, and publishing to IoT Core fails if ``lite`` is set and
    succeeds otherwise, like the two nuclei.
    """

    def __init__(self, configuration: Mapping[str, Any] | None = None) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.sent: list[tuple[str, bytes]] = []
        self.subscriptions: dict[str, list[FakeSubscription]] = {}
        self.core_subscriptions: dict[str, list[FakeSubscription]] = {}
        self.values = dict(configuration or {})
        self.failure: BusError | None = None
        self.offline = self.lite = False
        self.ticks = 0

    def publish(self, topic: str, payload: bytes) -> None:
        """Record and deliver a local message."""
        self._fail()
        self.published.append((topic, payload))
        self.deliver(topic, payload)

    def subscribe(
        self,
        topic: str,
        handler: Handler,
        *,
        expects_traffic: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> FakeSubscription:
        """Subscribe to a local topic; the stream opens immediately."""
        subscription = FakeSubscription(self, handler, core=False, expects_traffic=expects_traffic, on_open=on_open)
        self.subscriptions.setdefault(topic, []).append(subscription)
        if on_open is not None:
            on_open()
        return subscription

    def publish_to_iot_core(self, topic: str, payload: bytes) -> None:
        """Record a message to IoT Core."""
        self._fail()
        if self.offline and self.lite:
            raise BusError("offline")
        self.sent.append((topic, payload))

    def subscribe_to_iot_core(self, topic: str, handler: Handler) -> FakeSubscription:
        """Subscribe to an IoT Core topic."""
        subscription = FakeSubscription(self, handler, core=True)
        self.core_subscriptions.setdefault(topic, []).append(subscription)
        return subscription

    def configuration(self) -> Mapping[str, Any]:
        """Return the configuration."""
        self._fail()
        return self.values

    def on_configuration(self, validate: Callable[[Mapping[str, Any]], str | None], apply: Callable[[], None]) -> None:
        """Store the callbacks, which are called by the test."""
        self.validate, self.apply = validate, apply

    def tick(self) -> float:
        """Count the calls."""
        self.ticks += 1
        return 60.0

    def inactive(self) -> list[str]:
        """Return the topics that are not subscribed to."""
        every = {**self.subscriptions, **self.core_subscriptions}
        return [topic for topic, subscriptions in every.items() if not all(one.active for one in subscriptions)]

    def deliver(self, topic: str, payload: bytes) -> None:
        """Deliver a local message as if another component had published it."""
        for subscription in self.subscriptions.get(topic, []):
            subscription.deliver(topic, payload)

    def deliver_from_core(self, topic: str, payload: bytes) -> None:
        """Deliver a message as if the cloud had published it."""
        for subscription in self.core_subscriptions.get(topic, []):
            if not self.offline:
                subscription.deliver(topic, payload)

    def on(self, topic: str) -> list[bytes]:
        """Return the payloads published on a local topic, oldest first."""
        return [payload for where, payload in self.published if where == topic]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def fake_runtime(work: Path, gateway: str = "gw-test", seed: int = 1) -> tuple[Runtime, FakeBus, FakeClock]:
    """Return a runtime on fakes, with its bus and clock."""
    bus, clock, counters, log = FakeBus(), FakeClock(), Counters(), logging.getLogger("strandline.test")
    limited_log = RateLimitedLog(counters, log, clock)
    loop = Loop(log, limited_log, clock)
    runtime = Runtime(gateway, bus, clock, counters, log, limited_log, loop, work, random.Random(seed))
    return runtime, bus, clock
