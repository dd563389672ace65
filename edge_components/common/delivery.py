"""The sender of batches on the bus: publishes what is due, frees what is acknowledged, and detects missing answers."""

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

RETRANSMISSIONS = 3
MAX_WATCHED = 4096
FLUSH_REQUEST = b""
"""An empty message on the topic of batches: commit and acknowledge everything received, a sender is blocked."""
RESEND_REQUEST = b""
"""An empty message on the topic of acknowledgements: send everything again that is not acknowledged.

A receiver sends it when it has started or subscribed again, because messages may be lost that were sent before."""


class AcknowledgementWatch:
    """Detects that acknowledgements do not arrive although publishing works.

    That is so when a batch was sent again :data:`RETRANSMISSIONS` times, each time with success, and no acknowledgement
    of any batch came in between. One that is never acknowledged while others are does not count. Pure.
    """

    def __init__(self) -> None:
        self._retransmissions: dict[Hashable, int] = {}

    def published(self, batch: Hashable, times: int) -> None:
        """Note a publication that succeeded, the ``times``-th of this batch."""
        if times > 1 and (batch in self._retransmissions or len(self._retransmissions) < MAX_WATCHED):
            self._retransmissions[batch] = self._retransmissions.get(batch, 0) + 1

    def acknowledged(self) -> None:
        """Note that an acknowledgement came."""
        self._retransmissions.clear()

    @property
    def missing(self) -> bool:
        """Whether acknowledgements are missing."""
        return max(self._retransmissions.values(), default=0) >= RETRANSMISSIONS

    def check(self, subscription: Subscription | None) -> None:
        """Have the subscription to acknowledgements renewed where they are missing; requests are paced there."""
        if self.missing and subscription is not None:
            subscription.renew(f"no acknowledgement for {RETRANSMISSIONS} retransmissions of a batch")


class Pause:
    """The wait after a publication that the nucleus refused, so that an idle loop does not try without end. Pure."""

    _POLICY = RetryPolicy(first_s=0.5, longest_s=10.0)

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._failures, self._until = rng, 0, 0.0

    def failed(self, now: float) -> None:
        """Note a refusal."""
        self._failures += 1
        self._until = now + self._POLICY.delay(self._failures, self._rng)

    def succeeded(self) -> None:
        """Note a success."""
        self._failures = 0

    def remaining(self, now: float) -> float:
        """Return the seconds until the next try."""
        return max(0.0, self._until - now) if self._failures else 0.0


class BatchSender:
    """Sends the batches of an outbox on a topic until they are acknowledged on another."""

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
        self._counters, self._limited_log = counters, limited_log
        self._watch, self._pause = AcknowledgementWatch(), Pause(rng)
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Subscribe to the acknowledgements.

        Some may be lost before a stream opens, so the receiver is made to repeat them by sending its batches again.
        """
        self._subscription = self._bus.subscribe(
            self._ack_topic, self.on_acknowledgement, expects_traffic=True, on_open=self._outbox.resend_all
        )

    def send_due(self, now: float, mark_last: Callable[[bytes], bytes] | None = None) -> bool:
        """Publish what is due at ``now``; a refusal ends the round, and what was refused is due again later.

        ``mark_last`` changes the last message of the round. Returns whether all was published, at least one message.
        """
        if self._pause.remaining(now) > 0:
            return False
        due = self._outbox.to_send(now)
        following = next(due, None)
        if following is None:
            self._watch.check(self._subscription)
            return False
        while following is not None:
            (sequence, payload, times), following = following, next(due, None)
            try:
                marked = mark_last(payload) if mark_last is not None and following is None else payload
                self._bus.publish(self._topic, marked)
            except BusError as error:
                for refused in (sequence, *([following[0]] if following is not None else [])):
                    self._outbox.refused(refused, now)
                self._pause.failed(now)
                self._limited_log.warning("publish_failed", f"batch {sequence}: {error}", key=self._topic)
                return False
            self._pause.succeeded()
            self._watch.published(sequence, times)
            self._counters.add("batches_sent_again" if times > 1 else "batches_sent")
        self._watch.check(self._subscription)
        return True

    def next_s(self, now: float) -> float:
        """Return the seconds until :meth:`send_due` has something to do."""
        return max(self._outbox.next_s(now), self._pause.remaining(now))

    def on_acknowledgement(self, _topic: str, payload: bytes) -> None:
        """Free what an acknowledgement covers; one that cannot be read is counted and frees nothing."""
        if payload == RESEND_REQUEST:
            self._outbox.resend_all()
            self._counters.add("resends_requested")
            return
        try:
            ack = Acknowledgement.decode(payload)
        except DecodeError as error:
            self._limited_log.warning("acknowledgements_unreadable", str(error), key=self._ack_topic)
            return
        self._watch.acknowledged()
        freed = self._outbox.acknowledge(ack)
        if freed:
            self._counters.add("batches_acknowledged", freed)
