"""The uplink: sends what the spool holds, again until it is acknowledged, urgent lanes first.

Pure but for its ports: the spool, the publisher and the time that is handed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from edge_components.common.errors import BusError, ConnectionLostError
from edge_components.common.handover import RetryPolicy, SendWindow
from edge_components.common.health import Counters
from edge_components.forwarder.spool import Spool
from wire import topics
from wire.acknowledgement import Acknowledgement
from wire.topics import Lane

Publish = Callable[[str, bytes], None]
SLOTS_KEPT_FOR_URGENT = 4


class Uplink:
    """Keeps at most ``policy.in_flight`` batches unacknowledged, a few slots of which only urgent ones may take."""

    def __init__(
        self,
        spool: Spool,
        publish: Publish,
        gateway: str,
        policy: RetryPolicy,
        counters: Counters,
        rng: random.Random,
        *,
        await_cloud: bool = True,
    ) -> None:
        self._spool, self._publish, self._gateway, self._counters = spool, publish, gateway, counters
        self._window = SendWindow(policy, rng)
        self._kept = min(SLOTS_KEPT_FOR_URGENT, policy.in_flight - 1)
        self._sent_up_to = dict.fromkeys(Lane, 0)
        self._await_cloud = await_cloud

    @property
    def in_flight(self) -> int:
        """How many batches are sent and not acknowledged."""
        return len(self._window)

    def pump(self, now: float) -> None:
        """Send what is due at ``now`` (monotonic seconds): what waits again, then what is new, by lane.

        A refusal by the nucleus ends this round and is counted; the batch is due again like any that is not
        acknowledged. Raises ConnectionLostError when the nucleus is gone.
        """
        try:
            for sequence in self._window.due(now):
                self._resend(sequence, now)
            for lane in Lane:
                self._send_new(lane, now)
        except ConnectionLostError:
            raise
        except BusError:
            self._counters.add("publish_refused")

    def acknowledge(self, ack: Acknowledgement) -> int:
        """Free what the cloud says it stored and return how many batches that were."""
        if ack.epoch != self._spool.epoch:
            self._counters.add("acknowledgements_of_another_epoch")
            return 0
        self._window.acknowledge(ack)
        freed = self._spool.free(ack)
        self._counters.add("batches_acknowledged", freed)
        return freed

    def _resend(self, sequence: int, now: float) -> None:
        batch = self._spool.get(sequence)
        if batch is None:
            self._window.forget(sequence)
            return
        self._counters.add("batches_sent_again")
        self._send(batch.lane, sequence, batch.payload, now)

    def _send_new(self, lane: Lane, now: float) -> None:
        room = self._window.room - (0 if lane is Lane.URGENT else self._kept)
        for batch in self._spool.after(lane, self._sent_up_to[lane], max(0, room)):
            self._sent_up_to[lane] = batch.sequence
            self._counters.add("batches_sent")
            self._counters.add("bytes_sent", len(batch.payload))
            self._send(lane, batch.sequence, batch.payload, now)

    def _send(self, lane: Lane, sequence: int, payload: bytes, now: float) -> None:
        # Noted before it is tried, so that a refused batch is due again like a lost one.
        self._window.sent(sequence, now)
        self._publish(topics.ingest(self._gateway, lane), payload)
        if not self._await_cloud:
            self.acknowledge(Acknowledgement(self._spool.epoch, 0, ((sequence, sequence),)))
