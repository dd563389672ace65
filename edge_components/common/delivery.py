"""Sender of batches on the bus: publishes due batches, frees acknowledged ones, detects missing acknowledgements."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable

from edge_components.common.errors import BusError
from edge_components.common.handover import Outbox, RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import Bus, Subscription
from wire.acknowledgement import Acknowledgement
from wire.errors import DecodeError

Publish = Callable[[str, bytes], None]
"""Publishes a payload on a topic; raises BusError."""

RETRANSMISSIONS = 3
MAX_WATCHED = 4096
FLUSH_REQUEST = b""
"""Empty message on the topic of batches: commit and acknowledge everything received, because a sender is blocked."""
RESEND_REQUEST = b""
"""Empty message on the topic of acknowledgements: send all unacknowledged batches again.

A receiver sends it after it has started or subscribed again, because earlier messages may be lost."""


class AcknowledgementWatch:
    """Detection of acknowledgements that do not arrive although publishing works. Pure.

    They are missing when a batch was sent again successfully :data:`RETRANSMISSIONS` times without an acknowledgement
    of any batch in between. A batch that alone is not acknowledged does not count.
    """

    def __init__(self) -> None:
        self._retransmissions: dict[Hashable, int] = {}

    def published(self, batch: Hashable, times: int) -> None:
        """Record a successful publication, the ``times``-th of this batch."""
        if times > 1 and (batch in self._retransmissions or len(self._retransmissions) < MAX_WATCHED):
            self._retransmissions[batch] = self._retransmissions.get(batch, 0) + 1

    def acknowledged(self) -> None:
        """Record an acknowledgement."""
        self._retransmissions.clear()

    @property
    def missing(self) -> bool:
        """True if acknowledgements are missing."""
        return max(self._retransmissions.values(), default=0) >= RETRANSMISSIONS

    def check(self, subscription: Subscription | None) -> None:
        """Renew the subscription if acknowledgements are missing; it limits the rate of renewals."""
        if self.missing and subscription is not None:
            subscription.renew(f"no acknowledgement for {RETRANSMISSIONS} retransmissions of a batch")


class PublishBackoff:
    """Exponential backoff after publications that the nucleus rejected. Pure."""

    _POLICY = RetryPolicy(first_s=0.5, longest_s=10.0)

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._failures, self._until = rng, 0, 0.0

    def failed(self, now: float) -> None:
        """Record a rejected publication."""
        self._failures += 1
        self._until = now + self._POLICY.delay(self._failures, self._rng)

    def succeeded(self) -> None:
        """Record a successful publication."""
        self._failures = 0

    def remaining(self, now: float) -> float:
        """Return the seconds until the next attempt."""
        return max(0.0, self._until - now) if self._failures else 0.0


def try_publish(bus: Bus, topic: str, payload: bytes, subject: str, limited_log: RateLimitedLog) -> bool:
    """Publish a message that is repeated if it is lost; return False if the nucleus rejects it, which is counted."""
    try:
        bus.publish(topic, payload)
    except BusError as error:
        limited_log.warning("publish_failed", f"{subject}: {error}", key=topic)
        return False
    return True


class Transmitter:
    """Publication of a sender's batches: backoff after rejections, detection of missing acknowledgements, counters."""

    def __init__(self, publish: Publish, counters: Counters, limited_log: RateLimitedLog, rng: random.Random) -> None:
        self._publish, self._counters, self._limited_log = publish, counters, limited_log
        self._watch, self._backoff = AcknowledgementWatch(), PublishBackoff(rng)
        self.subscription: Subscription | None = None
        """Subscription to the acknowledgements, which is renewed if they are missing."""

    def pause_s(self, now: float) -> float:
        """Return the seconds until the next attempt after a rejection."""
        return self._backoff.remaining(now)

    def send(self, topic: str, payload: bytes, batch: Hashable, times: int, now: float, *, again: bool) -> None:
        """Publish a batch for the ``times``-th time in this process.

        Raises BusError if the nucleus rejects it, which begins a pause.
        """
        try:
            self._publish(topic, payload)
        except BusError as error:
            self._backoff.failed(now)
            self._limited_log.warning("publish_failed", f"batch {batch}: {error}", key=topic)
            raise
        self._backoff.succeeded()
        self._watch.published(batch, times)
        self._counters.add("batches_sent_again" if again else "batches_sent")

    def read_acknowledgement(self, topic: str, payload: bytes) -> Acknowledgement | None:
        """Return a received acknowledgement, None for an invalid one, which is counted."""
        try:
            ack = Acknowledgement.decode(payload)
        except DecodeError as error:
            self._limited_log.warning("acknowledgements_unreadable", str(error), key=topic)
            return None
        self._watch.acknowledged()
        return ack

    def check(self) -> None:
        """Renew the subscription if acknowledgements are missing."""
        self._watch.check(self.subscription)


class BatchSender:
    """Sender of an outbox's batches on one topic until they are acknowledged on another."""

    def __init__(
        self,
        outbox: Outbox,
        bus: Bus,
        topic: str,
        ack_topic: str,
        counters: Counters,
        limited_log: RateLimitedLog,
        rng: random.Random,
    ) -> None:
        self._outbox, self._bus, self._topic, self._ack_topic = outbox, bus, topic, ack_topic
        self._counters, self._transmitter = counters, Transmitter(bus.publish, counters, limited_log, rng)

    def start(self) -> None:
        """Subscribe to the acknowledgements.

        Acknowledgements may be lost before a stream opens; batches sent again cause the receiver to repeat them.
        """
        self._transmitter.subscription = self._bus.subscribe(
            self._ack_topic, self.on_acknowledgement, expects_traffic=True, on_open=self._outbox.resend_all
        )

    def send_due(self, now: float, mark_last: Callable[[bytes], bytes] | None = None) -> bool:
        """Publish the batches due at ``now``; a rejected publication ends the round, and its batch stays due.

        ``mark_last`` changes the last message of the round. Return whether all of at least one message were published.
        """
        if self._transmitter.pause_s(now) > 0:
            return False
        due = self._outbox.to_send(now)
        following = next(due, None)
        if following is None:
            self._transmitter.check()
            return False
        while following is not None:
            (sequence, payload, times), following = following, next(due, None)
            marked = mark_last(payload) if mark_last is not None and following is None else payload
            try:
                self._transmitter.send(self._topic, marked, sequence, times, now, again=times > 1)
            except BusError:
                for refused in (sequence, *([following[0]] if following is not None else [])):
                    self._outbox.refused(refused, now)
                return False
        self._transmitter.check()
        return True

    def next_s(self, now: float) -> float:
        """Return the seconds until a batch is due."""
        return max(self._outbox.next_s(now), self._transmitter.pause_s(now))

    def on_acknowledgement(self, topic: str, payload: bytes) -> None:
        """Free the batches that an acknowledgement covers; an unreadable one is counted."""
        if payload == RESEND_REQUEST:
            self._outbox.resend_all()
            self._counters.add("resends_requested")
            return
        ack = self._transmitter.read_acknowledgement(topic, payload)
        if ack is not None and (freed := self._outbox.acknowledge(ack)):
            self._counters.add("batches_acknowledged", freed)
