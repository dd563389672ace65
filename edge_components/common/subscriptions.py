"""Subscriptions of a component, kept open in the background.

Everything here runs on the component's loop. An :data:`Opener` (:mod:`edge_components.common.ipc`) opens streams
without waiting, and reports their events to :class:`StreamEvents`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from edge_components.common.errors import BusError, UnauthorizedError, UnsupportedError
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import Clock, Handler
from edge_components.common.subscription_schedule import SubscriptionSchedule


class Kind(Enum):
    """Operation of a subscription, with its name in accessControl."""

    LOCAL = "aws.greengrass#SubscribeToTopic"
    IOT_CORE = "aws.greengrass#SubscribeToIoTCore"
    CONFIGURATION = "aws.greengrass#SubscribeToConfigurationUpdate"
    VALIDATION = "aws.greengrass#SubscribeToValidateConfigurationUpdates"


_SERVICES = {Kind.LOCAL: "aws.greengrass.ipc.pubsub", Kind.IOT_CORE: "aws.greengrass.ipc.mqttproxy"}
_ANSWER_SECONDS = {Kind.IOT_CORE: 3600.0}
"""The Java nucleus responds to a subscription to IoT Core when it is connected; a second attempt would wait, too."""
_DEFAULT_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """Target of a subscription; ``topic`` is empty for the component's own configuration."""

    kind: Kind
    topic: str = ""

    def __str__(self) -> str:
        names = {
            Kind.LOCAL: f"topic {self.topic}",
            Kind.IOT_CORE: f"IoT Core topic {self.topic}",
            Kind.CONFIGURATION: "configuration updates",
            Kind.VALIDATION: "validation of configuration updates",
        }
        return names[self.kind]


class StreamEvents(Protocol):
    """Receiver of the events of one stream; each method is called on the loop."""

    def opened(self) -> None:
        """Handle the acceptance of the subscription."""

    def failed(self, error: BusError) -> None:
        """Handle the rejection of the subscription."""

    def received(self, topic: str, payload: bytes) -> None:
        """Handle a message."""

    def closed(self, reason: str) -> None:
        """Handle the end of the stream."""


class Stream(Protocol):
    """Stream that is open or being opened."""

    def close(self) -> None:
        """Close the stream; does not raise."""


Opener = Callable[[Target, StreamEvents], Stream]
"""Begins a subscription without waiting; raises BusError if it cannot begin."""


class ManagedSubscription:
    """Implementation of :class:`edge_components.common.ports.Subscription`."""

    def __init__(
        self,
        owner: Subscriptions,
        target: Target,
        handler: Handler,
        schedule: SubscriptionSchedule,
        on_open: Callable[[], None] | None = None,
    ) -> None:
        self._owner, self.target, self._handler, self.schedule = owner, target, handler, schedule
        self._on_open = on_open
        self._current: _Attempt | None = None
        self._next: _Attempt | None = None
        self.stopped = False

    @property
    def active(self) -> bool:
        """True if the nucleus has accepted the subscription and not closed it since."""
        return self.schedule.active

    def renew(self, reason: str) -> None:
        """Subscribe again because messages seem to be missing; the rate of renewals is limited."""
        if self.schedule.request_renewal(self._owner.now):
            self._owner.log.warning("renewals_requested", f"{self.target}: {reason}", key=str(self.target))

    def tick(self, now: float) -> None:
        """Begin an attempt that is due, and end one that is overdue."""
        if self.schedule.attempt_overdue(now) and self._next is not None:
            self._next.fail(BusError("no response"))
        if self.stopped or not self.schedule.attempt_due(now):
            return
        self.schedule.attempt_began(now)
        self._next = attempt = _Attempt(self, self._owner)
        try:
            attempt.stream = self._owner.open(self.target, attempt)
        except BusError as error:
            attempt.fail(error)

    def opened(self, attempt: _Attempt) -> None:
        """Replace the old stream by the new one, and close the old one."""
        old, self._current, self._next = self._current, attempt, None
        if self.schedule.opened(self._owner.now):
            self._owner.log.info("subscriptions_renewed", str(self.target), key=str(self.target))
        else:
            self._owner.log.info("subscriptions_established", str(self.target), key=str(self.target))
        if old is not None:
            old.end()
        if self._on_open is not None:
            self._on_open()

    def failed(self, error: BusError) -> None:
        """Schedule the next attempt; if the nucleus does not authorize it, log the missing part of the recipe."""
        self._next = None
        self.schedule.failed(self._owner.now)
        kind, key = self.target.kind, str(self.target)
        if kind is Kind.VALIDATION and isinstance(error, UnsupportedError | UnauthorizedError):
            self.stopped = True
            self._owner.log.info("validation_unsupported", f"configuration updates are validated on arrival: {error}")
        elif isinstance(error, UnauthorizedError):
            needed = f"{kind.value} on {self.target.topic or '*'}"
            service = f" under {_SERVICES[kind]}" if kind in _SERVICES else ""
            message = f"{key}: not authorized; accessControl in the recipe must allow {needed}{service}: {error}"
            self._owner.log.error("subscriptions_failed", message, key=key)
        else:
            self._owner.log.warning("subscriptions_failed", f"{key}: {error}; it is retried", key=key)

    def closed(self, attempt: _Attempt, reason: str) -> None:
        """Subscribe again after the nucleus closed the stream."""
        if attempt is not self._current:
            return
        self._current = None
        self.schedule.closed(self._owner.now)
        self._owner.log.warning("subscriptions_closed", f"{self.target}: {reason}", key=str(self.target))

    def received(self, topic: str, payload: bytes) -> None:
        """Pass a message to the component."""
        if not self.stopped:
            self.schedule.received(self._owner.now)
            self._handler(topic, payload)

    def disconnected(self) -> None:
        """Discard the streams of a lost connection."""
        for attempt in (self._current, self._next):
            if attempt is not None:
                attempt.ended = True
        self._current = self._next = None
        self.stopped = False
        self.schedule.reset(self._owner.now)

    def close(self) -> None:
        """Close the streams when the component ends."""
        self.stopped = True
        for attempt in (self._current, self._next):
            if attempt is not None:
                attempt.end()


class _Attempt:
    """Attempt, with the stream that it opened; events of an ended attempt are ignored."""

    def __init__(self, subscription: ManagedSubscription, owner: Subscriptions) -> None:
        self._subscription, self._owner = subscription, owner
        self.stream: Stream | None = None
        self._open = self.ended = False

    def opened(self) -> None:
        if not self.ended and not self._open:
            self._open = True
            self._subscription.opened(self)

    def failed(self, error: BusError) -> None:
        if not self.ended and not self._open:
            self.fail(error)

    def received(self, topic: str, payload: bytes) -> None:
        # Also from a stream that is being replaced: it is closed after the new one has opened.
        self._subscription.received(topic, payload)

    def closed(self, reason: str) -> None:
        if self.ended:
            return
        if not self._open:
            self.fail(BusError(reason))
            return
        self.ended = True
        self._subscription.closed(self, reason)

    def fail(self, error: BusError) -> None:
        """End the attempt as failed."""
        self.end()
        self._subscription.failed(error)

    def end(self) -> None:
        """Close the stream and ignore its further events."""
        self.ended = True
        if self.stream is not None:
            self.stream.close()


class Subscriptions:
    """All subscriptions of a component."""

    def __init__(self, open_stream: Opener, clock: Clock, log: RateLimitedLog, rng: random.Random) -> None:
        self.open, self._clock, self.log, self._rng = open_stream, clock, log, rng
        self._all: list[ManagedSubscription] = []

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    def add(
        self,
        target: Target,
        handler: Handler,
        *,
        expects_traffic: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> ManagedSubscription:
        """Add a subscription and begin its first attempt."""
        answer_s = _ANSWER_SECONDS.get(target.kind, _DEFAULT_ANSWER_SECONDS)
        schedule = SubscriptionSchedule(self.now, self._rng, answer_s=answer_s, expects_traffic=expects_traffic)
        subscription = ManagedSubscription(self, target, handler, schedule, on_open)
        self._all.append(subscription)
        subscription.tick(self.now)
        return subscription

    def tick(self) -> float:
        """Begin due attempts and return the seconds until the next one."""
        now = self.now
        for subscription in self._all:
            subscription.tick(now)
        return min((one.schedule.next_s(now) for one in self._all if not one.stopped), default=float("inf"))

    def disconnected(self) -> None:
        """Discard all streams after the loss of the connection."""
        for subscription in self._all:
            subscription.disconnected()

    def inactive(self) -> list[str]:
        """Return the targets without an active subscription, except those that this nucleus does not support."""
        return [str(one.target) for one in self._all if not one.active and not one.stopped]

    def close(self) -> None:
        """Close all streams."""
        for subscription in self._all:
            subscription.close()
