"""Uplink: sends the batches of the spool until they are acknowledged, urgent lanes first.

With the sender between components (:class:`edge_components.common.delivery.BatchSender`) it shares the numbers in
flight and their retransmission times (:class:`SendWindow`), and publication, backoff and the detection of missing
acknowledgements (:class:`Transmitter`). The rest differs:

- Batches are on disk. They are read when they are sent, numbered in the spool's transaction, and may be damaged.
- Batches of a previous process are sent again under their old numbers and epoch, at the rate of new ones.
- Three lanes have an order, reserved slots and rates, because IoT Core limits messages per second.
- The cloud acknowledges after seconds, not milliseconds, so each lane measures the time that it takes.
- A batch is first sent encoded with a profile, and again complete.

Pure except for its ports, the spool and the transmitter; the time is passed in. The transmitter publishes over the
configured link (:mod:`edge_components.forwarder.cloud_link`), which names the topic of each lane.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from edge_components.common.delivery import Transmitter
from edge_components.common.errors import BusError
from edge_components.common.handover import RetryPolicy, SendWindow
from edge_components.common.health import Counters
from edge_components.forwarder.acknowledgement_time import AcknowledgementTimes
from edge_components.forwarder.profiles import Profiles
from edge_components.forwarder.spool.entries import SpooledBatch
from edge_components.forwarder.spool.spool import Spool
from edge_components.forwarder.token_bucket import TokenBucket
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.topics import Lane

SLOTS_RESERVED_FOR_URGENT = 4
ROUND_SECONDS = 0.1
"""Time between two rounds while more is to be sent than the rate allows at once."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Limits in batches per second: of all (IoT Core allows 100 per connection), and of the backlog."""

    per_second: float = 50.0
    backfill_per_second: float = 2.0


class Uplink:
    """Sender with at most ``policy.in_flight`` unacknowledged batches; a few slots are reserved for urgent ones."""

    def __init__(
        self,
        spool: Spool,
        transmitter: Transmitter,
        gateway: str,
        policy: RetryPolicy,
        rates: Rates,
        counters: Counters,
        rng: random.Random,
        now: float,
        topic: Callable[[Lane], str],
        *,
        await_cloud: bool = True,
        profiles: Profiles | None = None,
    ) -> None:
        self._spool, self._transmitter, self._gateway, self._counters = spool, transmitter, gateway, counters
        self._window = SendWindow(policy, rng)
        self._times = AcknowledgementTimes(policy, rng)
        self._reserved = min(SLOTS_RESERVED_FOR_URGENT, policy.in_flight - 1)
        self._in_flight = policy.in_flight
        self._rate_limit, self._backfill_limit = (
            TokenBucket(rates.per_second, now),
            TokenBucket(rates.backfill_per_second, now),
        )
        self._await_cloud, self._profiles, self._topic = await_cloud, profiles, topic
        self._sent_in_round, self._more_s = False, float("inf")
        self._profile_versions: dict[int, int] = {}
        """Versions of the profiles to which batches in flight refer, by the id of the batch."""
        # Batches that a previous process sent are sent again: their outcome is unknown.
        self._resend_queue = deque(spool.sent())

    @property
    def in_flight(self) -> int:
        """Number of batches sent and not acknowledged."""
        return len(self._window)

    def number(self, now: float) -> list[SpooledBatch]:
        """Number the batches to be sent for the first time at ``now``; the caller commits before :meth:`pump`.

        Urgent batches come first, then bulk, then as much of the backlog as its rate allows.
        """
        self._more_s = float("inf")
        if self._transmitter.pause_s(now) > 0:
            return []
        self._spool.demote(self._in_flight)
        allowed = max(0, self._rate_limit.allowed(now))
        chosen = self._spool.unsent(Lane.URGENT, min(self._window.room, allowed))
        again = len(self._window.due(now)) + len(self._resend_queue)
        free = self._window.room - self._reserved - len(chosen) - len(self._resend_queue)
        bulk = self._spool.unsent(Lane.BULK, max(0, min(free, allowed - len(chosen) - again)))
        chosen += bulk
        free = min(free - len(bulk), allowed - len(chosen) - again)
        if free > 0:
            backlog = self._spool.unsent(Lane.BACKFILL, min(free, max(1, self._backfill_limit.allowed(now))))
            if self._backfill_limit.allowed(now) > 0:
                self._backfill_limit.spend(len(backlog))
                chosen += backlog
            if backlog:
                self._more_s = self._backfill_limit.wait_s(now)
        elif allowed <= len(chosen) + again:
            self._more_s = self._rate_limit.wait_s(now)
        return self._spool.number(chosen) if chosen else []

    def pump(self, now: float, numbered: Sequence[SpooledBatch] | None = None) -> None:
        """Send what is due at ``now`` (monotonic seconds): new urgent batches, retransmissions, other new batches.

        A rejected publication ends the round, is counted, and pauses the uplink; the batch stays due like any other
        without an acknowledgement. Raises SpoolError if the spool is unusable.
        """
        new = deque(self.number(now) if numbered is None else numbered)
        if self._transmitter.pause_s(now) > 0:
            return
        self._sent_in_round = False
        try:
            while new and new[0].lane is Lane.URGENT:
                self._send_new(new.popleft(), now)
            self._resend(now)
            while new:
                self._send_new(new.popleft(), now)
        except BusError:
            self._resend_queue.extend(batch.id for batch in new)

    def next_s(self, now: float) -> float:
        """Return the seconds until :meth:`pump` may have to send one of the present batches."""
        due_s = min(self._window.next_s(now), self._more_s)
        if self._sent_in_round or (self._resend_queue and self._window.room):
            due_s = min(due_s, ROUND_SECONDS)
        return max(due_s, self._transmitter.pause_s(now))

    def acknowledge(self, ack: Acknowledgement, now: float) -> int:
        """Free the batches that the cloud stored, acknowledged at ``now``, and return their number."""
        freed = self._spool.free(ack)
        self._times.acknowledged(freed, now)
        for key in freed:
            self._window.forget(key)
            self._profile_versions.pop(key, None)
        if self._profiles is not None:
            self._profiles.freed(freed)
            self._profiles.unknown(ack.unknown)
        self._resend_complete(ack.unknown)
        if not freed and ack.epoch != self._spool.epoch:
            self._counters.add("acknowledgements_of_another_epoch")
        self._counters.add("batches_acknowledged", len(freed))
        return len(freed)

    def _resend_complete(self, unknown: Collection[int]) -> None:
        """Schedule the batches that refer to one of these profiles to be sent again at once, complete."""
        for key in [key for key, version in self._profile_versions.items() if version in unknown]:
            del self._profile_versions[key]
            self._window.forget(key)
            self._times.forget(key)
            self._resend_queue.append(key)

    def _resend(self, now: float) -> None:
        waiting = deque(self._window.due(now))
        room = self._window.room
        while self._resend_queue and room > 0:
            waiting.append(self._resend_queue.popleft())
            room -= 1
        try:
            self._resend_waiting(waiting, now)
        finally:
            # Also after a rejection: batches that are not in the window are recorded here only.
            self._resend_queue.extendleft(key for key in reversed(waiting) if key not in self._window)

    def _resend_waiting(self, waiting: deque[int], now: float) -> None:
        """Send batches again in order; batches that were not tried stay in ``waiting``."""
        while waiting and self._rate_limit.allowed(now) >= 1:
            batch = self._spool.get(waiting[0])
            key = waiting.popleft()
            if batch is None:
                self._window.forget(key)
                self._times.forget(key)
                continue
            self._profile_versions.pop(key, None)
            self._send(batch, now, first=False)

    def _send_new(self, batch: SpooledBatch, now: float) -> None:
        short = self._shortened(batch)
        self._send(short, now, first=True)
        self._counters.add("bytes_sent", len(short.body))

    def _shortened(self, batch: SpooledBatch) -> SpooledBatch:
        """Return the batch as it is sent first: encoded with a profile that the cloud has, if that is smaller."""
        if self._profiles is None:
            return batch
        body, version = self._profiles.shorten(batch.body)
        if version is None:
            return batch
        self._profile_versions[batch.id] = version
        self._counters.add("batches_by_profile")
        self._counters.add("bytes_saved_by_profile", len(batch.body) - len(body))
        return replace(batch, body=body)

    def _send(self, batch: SpooledBatch, now: float, *, first: bool) -> None:
        # Recorded before the attempt, so that a rejected batch is due again like a lost one.
        times = self._window.sent(batch.id, now)
        self._times.sent(batch.id, batch.lane, now, first=first)
        self._window.not_before(batch.id, now + self._times.min_wait_s(batch.lane, times))
        self._rate_limit.spend()
        self._sent_in_round = True
        payload = codec.seal(self._gateway, batch.epoch, batch.sequence, batch.body)
        try:
            self._transmitter.send(self._topic(batch.lane), payload, batch.id, times, now, again=not first)
        except BusError:
            self._window.refused(batch.id, now)
            raise
        if not self._await_cloud:
            self.acknowledge(Acknowledgement(batch.epoch, 0, ((batch.sequence, batch.sequence),)), now)
