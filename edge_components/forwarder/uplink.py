"""The uplink: sends what the spool holds, again until it is acknowledged, urgent lanes first.

Pure but for its ports: the spool, the publisher and the time that is handed in.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from edge_components.common.delivery import AcknowledgementWatch, Pause
from edge_components.common.errors import BusError
from edge_components.common.handover import RetryPolicy, SendWindow
from edge_components.common.health import Counters
from edge_components.forwarder.acknowledgement_time import AcknowledgementTimes
from edge_components.forwarder.profiles import Profiles
from edge_components.forwarder.spool.entries import SpooledBatch
from edge_components.forwarder.spool.spool import Spool
from edge_components.forwarder.token_bucket import TokenBucket
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.topics import Lane

Publish = Callable[[str, bytes], None]
SLOTS_KEPT_FOR_URGENT = 4
ROUND_SECONDS = 0.1
"""Time between two rounds while there is more to send than the rate allows at once."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Batches a second: in all (IoT Core allows 100 publishes a connection), and of those from the backlog."""

    per_second: float = 50.0
    backfill_per_second: float = 2.0


class Uplink:
    """Keeps at most ``policy.in_flight`` batches unacknowledged, a few slots of which only urgent ones may take."""

    def __init__(
        self,
        spool: Spool,
        publish: Publish,
        gateway: str,
        policy: RetryPolicy,
        rates: Rates,
        counters: Counters,
        rng: random.Random,
        now: float,
        *,
        await_cloud: bool = True,
        profiles: Profiles | None = None,
        watch: AcknowledgementWatch | None = None,
        pause: Pause | None = None,
    ) -> None:
        self._spool, self._publish, self._gateway, self._counters = spool, publish, gateway, counters
        self._window = SendWindow(policy, rng)
        self._times = AcknowledgementTimes(policy, rng)
        self._kept = min(SLOTS_KEPT_FOR_URGENT, policy.in_flight - 1)
        self._in_flight = policy.in_flight
        self._pace, self._backfill_pace = (
            TokenBucket(rates.per_second, now),
            TokenBucket(rates.backfill_per_second, now),
        )
        self._await_cloud, self._profiles = await_cloud, profiles
        self._watch, self._pause = watch or AcknowledgementWatch(), pause or Pause(rng)
        self._sent_in_round, self._more_s = False, float("inf")
        self._named: dict[int, int] = {}
        """The profiles that batches named which are in flight, by the batch's id."""
        # What a former process had sent: nobody knows what became of it, so it goes again.
        self._unsettled = deque(spool.sent())

    @property
    def in_flight(self) -> int:
        """How many batches are sent and not acknowledged."""
        return len(self._window)

    def number(self, now: float) -> list[SpooledBatch]:
        """Number the batches that are to be sent for the first time at ``now``; the caller commits before :meth:`pump`.

        Urgent ones come first, then bulk, then what the rate of the backlog allows.
        """
        self._more_s = float("inf")
        if self._pause.remaining(now) > 0:
            return []
        self._spool.demote(self._in_flight)
        allowed = max(0, self._pace.allowed(now))
        chosen = self._spool.unsent(Lane.URGENT, min(self._window.room, allowed))
        again = len(self._window.due(now)) + len(self._unsettled)
        free = self._window.room - self._kept - len(chosen) - len(self._unsettled)
        bulk = self._spool.unsent(Lane.BULK, max(0, min(free, allowed - len(chosen) - again)))
        chosen += bulk
        free = min(free - len(bulk), allowed - len(chosen) - again)
        if free > 0:
            backlog = self._spool.unsent(Lane.BACKFILL, min(free, max(1, self._backfill_pace.allowed(now))))
            if self._backfill_pace.allowed(now) > 0:
                self._backfill_pace.spend(len(backlog))
                chosen += backlog
            if backlog:
                self._more_s = self._backfill_pace.wait_s(now)
        elif allowed <= len(chosen) + again:
            self._more_s = self._pace.wait_s(now)
        return self._spool.number(chosen) if chosen else []

    def pump(self, now: float, numbered: Sequence[SpooledBatch] | None = None) -> None:
        """Send what is due at ``now`` (monotonic seconds): urgent batches, what waits again, then the other new ones.

        A refusal by the nucleus ends this round, is counted, and pauses the uplink for a moment; the batch is due again
        like any that is not acknowledged. Raises SpoolError when the spool cannot be used.
        """
        new = deque(self.number(now) if numbered is None else numbered)
        if self._pause.remaining(now) > 0:
            return
        self._sent_in_round = False
        try:
            while new and new[0].lane is Lane.URGENT:
                self._send_new(new.popleft(), now)
            self._send_again(now)
            while new:
                self._send_new(new.popleft(), now)
        except BusError:
            self._unsettled.extend(batch.id for batch in new)
            self._pause.failed(now)
            self._counters.add("publish_failed")

    def next_s(self, now: float) -> float:
        """Return the seconds until :meth:`pump` may have something to do, apart from batches that are formed later."""
        due_s = min(self._window.next_s(now), self._more_s)
        if self._sent_in_round or (self._unsettled and self._window.room):
            due_s = min(due_s, ROUND_SECONDS)
        return max(due_s, self._pause.remaining(now))

    def acknowledge(self, ack: Acknowledgement, now: float) -> int:
        """Free the batches that the cloud stored, acknowledged at ``now``, and return their number."""
        freed = self._spool.free(ack)
        self._times.acknowledged(freed, now)
        for key in freed:
            self._window.forget(key)
            self._named.pop(key, None)
        if self._profiles is not None:
            self._profiles.freed(freed)
            self._profiles.unknown(ack.unknown)
        self._again_without(ack.unknown)
        if not freed and ack.epoch != self._spool.epoch:
            self._counters.add("acknowledgements_of_another_epoch")
        self._counters.add("batches_acknowledged", len(freed))
        return len(freed)

    def _again_without(self, unknown: Collection[int]) -> None:
        """Let the batches that named one of those profiles be sent again at once, and whole."""
        for key in [key for key, version in self._named.items() if version in unknown]:
            del self._named[key]
            self._window.forget(key)
            self._times.forget(key)
            self._unsettled.append(key)

    def _send_again(self, now: float) -> None:
        waiting = deque(self._window.due(now))
        room = self._window.room
        while self._unsettled and room > 0:
            waiting.append(self._unsettled.popleft())
            room -= 1
        try:
            self._repeat(waiting, now)
        finally:
            # Also after a refusal: what is not in the window is known here only.
            self._unsettled.extendleft(key for key in reversed(waiting) if key not in self._window)

    def _repeat(self, waiting: deque[int], now: float) -> None:
        """Send the batches again in their order; what is not tried stays in ``waiting``."""
        while waiting and self._pace.allowed(now) >= 1:
            batch = self._spool.get(waiting[0])
            key = waiting.popleft()
            if batch is None:
                self._window.forget(key)
                self._times.forget(key)
                continue
            self._counters.add("batches_sent_again")
            self._named.pop(key, None)
            self._send(batch, now, first=False)

    def _send_new(self, batch: SpooledBatch, now: float) -> None:
        short = self._shortened(batch)
        self._counters.add("batches_sent")
        self._counters.add("bytes_sent", len(short.body))
        self._send(short, now, first=True)

    def _shortened(self, batch: SpooledBatch) -> SpooledBatch:
        """Return the batch as it is sent the first time: by a profile that the cloud has, where that is smaller."""
        if self._profiles is None:
            return batch
        body, version = self._profiles.shorten(batch.body)
        if version is None:
            return batch
        self._named[batch.id] = version
        self._counters.add("batches_by_profile")
        self._counters.add("bytes_saved_by_profile", len(batch.body) - len(body))
        return replace(batch, body=body)

    def _send(self, batch: SpooledBatch, now: float, *, first: bool) -> None:
        # Noted before it is tried, so that a refused batch is due again like a lost one.
        times = self._window.sent(batch.id, now)
        self._times.sent(batch.id, batch.lane, now, first=first)
        self._window.not_before(batch.id, now + self._times.least_wait_s(batch.lane, times))
        self._pace.spend()
        self._sent_in_round = True
        payload = codec.seal(self._gateway, batch.epoch, batch.sequence, batch.body)
        try:
            self._publish(topics.ingest(self._gateway, batch.lane), payload)
        except BusError:
            self._window.refused(batch.id, now)
            raise
        self._pause.succeeded()
        self._watch.published(batch.id, times)
        if not self._await_cloud:
            self.acknowledge(Acknowledgement(batch.epoch, 0, ((batch.sequence, batch.sequence),)), now)
