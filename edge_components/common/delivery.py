"""An outbox on the bus: what is due goes out, and what the receiver acknowledges is freed."""

from __future__ import annotations

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
