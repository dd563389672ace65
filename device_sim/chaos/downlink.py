"""Faults of acknowledgements on the downlink: loss, duplication, reordering, delay; pure.

Packets are queued with the time and returned when they are due; packets other than acknowledgements pass unchanged.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections import Counter
from enum import StrEnum

from device_sim.chaos.packets import Packet

ACKNOWLEDGEMENTS = re.compile(r"strandline/v1/[^/]+/ack\Z|devices/[^/]+/messages/devicebound/")
HOLD_SECONDS = 3.0
"""Maximum time that an acknowledgement waits for a later one to overtake it."""


class AcknowledgementFault(StrEnum):
    """Fault that is applied to acknowledgements."""

    NONE = "none"
    LOSE = "lose"
    DOUBLE = "double"
    REORDER = "reorder"
    DELAY = "delay"


class Downlink:
    """Downlink of one connection; ``now`` is in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, bytes]] = []
        self._number = itertools.count()
        self._held: bytes | None = None
        self.applied: Counter[AcknowledgementFault] = Counter()

    def put(self, packet: Packet, fault: AcknowledgementFault, delay_s: float, now: float) -> None:
        """Queue a packet; ``delay_s`` is for DELAY only. Raises PacketError for a PUBLISH without a topic."""
        topic = packet.topic
        if fault is AcknowledgementFault.NONE or topic is None or not ACKNOWLEDGEMENTS.match(topic):
            self._send(packet.raw, now)
            return
        self.applied[fault] += 1
        if fault is AcknowledgementFault.DOUBLE:
            self._send(packet.raw, now)
            self._send(packet.raw, now)
        elif fault is AcknowledgementFault.DELAY:
            self._send(packet.raw, now + delay_s)
        elif fault is AcknowledgementFault.REORDER:
            self._reorder(packet.raw, now)

    def _reorder(self, raw: bytes, now: float) -> None:
        """Hold one packet until the next one has overtaken it."""
        if self._held is None:
            self._held = raw
            self._send(raw, now + HOLD_SECONDS)
            return
        self._due = [entry for entry in self._due if entry[2] is not self._held]
        heapq.heapify(self._due)
        self._send(raw, now)
        self._send(self._held, now)
        self._held = None

    def take(self, now: float) -> bytes:
        """Return the bytes that are due, in order."""
        ready = bytearray()
        while self._due and self._due[0][0] <= now:
            raw = heapq.heappop(self._due)[2]
            if raw is self._held:
                self._held = None
            ready += raw
        return bytes(ready)

    def next_due(self) -> float | None:
        """Return the time of the next due packet, or None when the queue is empty."""
        return self._due[0][0] if self._due else None

    def _send(self, raw: bytes, when: float) -> None:
        heapq.heappush(self._due, (when, next(self._number), raw))
