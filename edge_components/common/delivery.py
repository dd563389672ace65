"""An outbox on the bus: what is due goes out, and what the receiver acknowledges is freed."""

from __future__ import annotations

import random

from edge_components.common.errors import BusError, ConnectionLostError
from edge_components.common.handover import Outbox
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import Bus
from wire.acknowledgement import Acknowledgement
from wire.errors import DecodeError


def send_due(outbox: Outbox, bus: Bus, topic: str, now: float, counters: Counters, limited_log: RateLimitedLog) -> None:
    """Publish what is due at ``now``; a refusal ends the round, and what was refused is due again later.

    Raises ConnectionLostError when the nucleus is gone.
    """
    for sequence, payload, times in outbox.to_send(now):
        try:
            bus.publish(topic, payload)
        except ConnectionLostError:
            raise
        except BusError as error:
            limited_log.warning("publish_failed", f"batch {sequence}: {error}")
            return
        counters.add("batches_sent_again" if times > 1 else "batches_sent")


def free_acknowledged(outbox: Outbox, payload: bytes, counters: Counters, limited_log: RateLimitedLog) -> None:
    """Free what an acknowledgement covers; one that cannot be read is counted and frees nothing."""
    try:
        freed = outbox.acknowledge(Acknowledgement.decode(payload))
    except DecodeError as error:
        limited_log.warning("acknowledgements_unreadable", str(error))
        return
    counters.add("batches_acknowledged", freed)


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

    def start(self) -> None:
        """Subscribe to the acknowledgements."""
        self._bus.subscribe(self._ack_topic, self.on_acknowledgement)

    def send_due(self, now: float) -> None:
        """Publish what is due at ``now``."""
        send_due(self._outbox, self._bus, self._topic, now, self._counters, self._limited_log)

    def next_s(self, now: float) -> float:
        """Return the seconds until :meth:`send_due` has something to do."""
        return self._outbox.next_s(now)

    def on_acknowledgement(self, _topic: str, payload: bytes) -> None:
        """Free what an acknowledgement covers."""
        free_acknowledged(self._outbox, payload, self._counters, self._limited_log)
