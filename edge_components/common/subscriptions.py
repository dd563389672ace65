"""Keeps the subscriptions of a component open, beside its work.

Everything here runs on the component's loop. The streams themselves come from an :class:`Opener`
(:mod:`edge_components.common.ipc`), which never waits and reports what happens to a stream through its events.
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
    """The operation that subscribes, and what an error log names it."""

    LOCAL = "aws.greengrass#SubscribeToTopic"
    IOT_CORE = "aws.greengrass#SubscribeToIoTCore"
    CONFIGURATION = "aws.greengrass#SubscribeToConfigurationUpdate"
    VALIDATION = "aws.greengrass#SubscribeToValidateConfigurationUpdates"


_SERVICES = {Kind.LOCAL: "aws.greengrass.ipc.pubsub", Kind.IOT_CORE: "aws.greengrass.ipc.mqttproxy"}
_ANSWER_SECONDS = {Kind.IOT_CORE: 3600.0}
"""The Java nucleus answers a subscription to IoT Core only when it is connected; a second attempt would wait too."""
_DEFAULT_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """What is subscribed to; ``topic`` is empty for the component's own configuration."""

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
    """Receives what happens to one stream; each method is called on the loop."""

    def opened(self) -> None:
        """The nucleus accepted the subscription."""

    def failed(self, error: BusError) -> None:
        """The nucleus refused the subscription."""

    def received(self, topic: str, payload: bytes) -> None:
        """A message came."""

    def closed(self, reason: str) -> None:
        """The stream ended, or must be considered unusable."""


class Stream(Protocol):
    """An open stream, or one that is being opened."""

    def close(self) -> None:
        """End it; never raises."""


Opener = Callable[[Target, StreamEvents], Stream]
"""Begins a subscription and returns at once; raises BusError when it cannot even begin."""


class ManagedSubscription:
    """A subscription that is opened, retried and renewed; see :class:`edge_components.common.ports.Subscription`."""

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
        """Whether the nucleus has accepted the subscription and not closed it since."""
        return self.schedule.active

    def renew(self, reason: str) -> None:
        """Subscribe again, since messages seem to be missing; repeated requests are paced."""
        if self.schedule.request_renewal(self._owner.now):
            self._owner.log.warning("renewals_requested", f"{self.target}: {reason}", key=str(self.target))

    def tick(self, now: float) -> None:
        """Begin an attempt that is due, and end one that has had no answer."""
        if self.schedule.attempt_overdue(now) and self._next is not None:
            self._next.fail(BusError("no answer"))
        if self.stopped or not self.schedule.attempt_due(now):
            return
        self.schedule.attempt_began(now)
        self._next = attempt = _Attempt(self, self._owner)
        try:
            attempt.stream = self._owner.open(self.target, attempt)
        except BusError as error:
            attempt.fail(error)

    def opened(self, attempt: _Attempt) -> None:
        """Put the new stream in the place of the old one, which is closed only now."""
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
        """Schedule the next attempt, and log what the recipe lacks where the nucleus does not authorize this one."""
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
            self._owner.log.warning("subscriptions_failed", f"{key}: {error}; it is tried again", key=key)

    def closed(self, attempt: _Attempt, reason: str) -> None:
        """Subscribe again after the nucleus closed the stream."""
        if attempt is not self._current:
            return
        self._current = None
        self.schedule.closed(self._owner.now)
        self._owner.log.warning("subscriptions_closed", f"{self.target}: {reason}", key=str(self.target))

    def received(self, topic: str, payload: bytes) -> None:
        """Hand a message to the component."""
        if not self.stopped:
            self.schedule.received(self._owner.now)
            self._handler(topic, payload)

    def disconnected(self) -> None:
        """Forget the streams of a connection that is gone."""
        for attempt in (self._current, self._next):
            if attempt is not None:
                attempt.over = True
        self._current = self._next = None
        self.stopped = False
        self.schedule.reset(self._owner.now)

    def close(self) -> None:
        """End the streams, at the end of the component."""
        self.stopped = True
        for attempt in (self._current, self._next):
            if attempt is not None:
                attempt.end()


class _Attempt:
    """One attempt and the stream that came of it; events of an attempt that is over have no effect."""

    def __init__(self, subscription: ManagedSubscription, owner: Subscriptions) -> None:
        self._subscription, self._owner = subscription, owner
        self.stream: Stream | None = None
        self._open = self.over = False

    def opened(self) -> None:
        if not self.over and not self._open:
            self._open = True
            self._subscription.opened(self)

    def failed(self, error: BusError) -> None:
        if not self.over and not self._open:
            self.fail(error)

    def received(self, topic: str, payload: bytes) -> None:
        # Also from a stream that a newer one has replaced: it is closed only after the newer one is open.
        self._subscription.received(topic, payload)

    def closed(self, reason: str) -> None:
        if self.over:
            return
        if not self._open:
            self.fail(BusError(reason))
            return
        self.over = True
        self._subscription.closed(self, reason)

    def fail(self, error: BusError) -> None:
        """End the attempt without success."""
        self.end()
        self._subscription.failed(error)

    def end(self) -> None:
        """Close the stream; nothing that comes from it counts any more."""
        self.over = True
        if self.stream is not None:
            self.stream.close()


class Subscriptions:
    """All subscriptions of a component."""

    def __init__(self, open_stream: Opener, clock: Clock, log: RateLimitedLog, rng: random.Random) -> None:
        self.open, self._clock, self.log, self._rng = open_stream, clock, log, rng
        self._all: list[ManagedSubscription] = []

    @property
    def now(self) -> float:
        """The monotonic clock."""
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
        """Begin what is due and return the seconds until something is due next."""
        now = self.now
        for subscription in self._all:
            subscription.tick(now)
        return min((one.schedule.next_s(now) for one in self._all if not one.stopped), default=float("inf"))

    def disconnected(self) -> None:
        """Forget all streams: the connection is gone."""
        for subscription in self._all:
            subscription.disconnected()

    def inactive(self) -> list[str]:
        """Return the targets that are not subscribed to now, except those that this nucleus does not support."""
        return [str(one.target) for one in self._all if not one.active and not one.stopped]

    def close(self) -> None:
        """End all streams."""
        for subscription in self._all:
            subscription.close()
