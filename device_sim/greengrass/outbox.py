"""Queue of waiting and unacknowledged publishes to IoT Core, with the limits of both; pure.

The Java nucleus queues in memory, limits publishes in flight and resends them after a reconnect. Nucleus lite has no
queue: a publish fails while offline or above its limits, and a reconnect drops unacknowledged publishes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from device_sim.greengrass.errors import BridgeError
from device_sim.greengrass.profile import UplinkRules

MAX_ATTEMPTS = 10
"""Connection failures until a publish is dropped: IoT Core closes the connection after a forbidden topic."""
ISOLATION_ATTEMPTS = 2
"""From this number of attempts on, a publish is sent alone, to isolate the one that breaks the connection."""


@dataclass(slots=True)
class Publish:
    """One MQTT publish."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    attempts: int = 0

    @property
    def size(self) -> int:
        """Size of topic and payload in bytes."""
        return len(self.topic.encode()) + len(self.payload)

    @property
    def packet_bytes(self) -> int:
        """Size of the MQTT 5 packet in bytes: header, topic length, packet id and an empty property list."""
        remaining = self.size + 2 + 2 + 1
        return 1 + (1 if remaining < 128 else 2 if remaining < 16_384 else 3) + remaining


class Outbox:
    """Waiting and unacknowledged publishes."""

    def __init__(self, rules: UplinkRules) -> None:
        self._rules = rules
        self._waiting: deque[Publish] = deque()
        self._in_flight: dict[int, Publish] = {}
        self._bytes = 0

    def add(self, publish: Publish, connected: bool) -> None:
        """Queue a publish; raises BridgeError when the nucleus would reject it."""
        rules = self._rules
        if rules.queued_bytes == 0:
            self._check_lite(publish, connected)
        elif not connected and publish.qos == 0:
            raise BridgeError("not connected to IoT Core, and QoS 0 is not queued")
        elif self._bytes + publish.size > rules.queued_bytes:
            raise BridgeError(f"the queue to IoT Core is full ({self._bytes} of {rules.queued_bytes} bytes)")
        self._waiting.append(publish)
        self._bytes += publish.size

    def _check_lite(self, publish: Publish, connected: bool) -> None:
        if not connected:
            raise BridgeError("not connected to IoT Core")
        if publish.qos == 0:
            return
        pending = [*self._in_flight.values(), *(one for one in self._waiting if one.qos)]
        if len(pending) >= self._rules.in_flight:
            raise BridgeError(f"{len(pending)} publishes are unacknowledged, at most {self._rules.in_flight} may be")
        size = sum(one.packet_bytes for one in pending) + publish.packet_bytes
        if self._rules.in_flight_bytes is not None and size > self._rules.in_flight_bytes:
            raise BridgeError(
                f"{size} bytes would be unacknowledged, at most {self._rules.in_flight_bytes} fit nucleus lite"
            )

    def next(self) -> Publish | None:
        """Return the publish to send now, or None."""
        if not self._waiting:
            return None
        first = self._waiting[0]
        allowed = 1 if first.attempts >= ISOLATION_ATTEMPTS else self._rules.in_flight
        return first if first.qos == 0 or len(self._in_flight) < allowed else None

    def sent(self, mid: int) -> None:
        """Record that the first waiting publish was sent with a packet id."""
        publish = self._waiting.popleft()
        if publish.qos:
            self._in_flight[mid] = publish
        else:
            self._bytes -= publish.size

    def acknowledged(self, mid: int) -> bool:
        """Remove an acknowledged publish; return whether it was known."""
        publish = self._in_flight.pop(mid, None)
        if publish is None:
            return False
        self._bytes -= publish.size
        return True

    def disconnected(self) -> list[Publish]:
        """Prepare for the next connection and return the publishes that are dropped."""
        kept: list[Publish] = []
        dropped: list[Publish] = []
        for publish in self._in_flight.values():
            publish.attempts += 1
            again = self._rules.persistent_session and publish.attempts < MAX_ATTEMPTS
            (kept if again else dropped).append(publish)
        if not self._rules.persistent_session:
            dropped += self._waiting
            self._waiting.clear()
        self._in_flight.clear()
        self._waiting.extendleft(reversed(kept))
        self._bytes -= sum(publish.size for publish in dropped)
        return dropped

    @property
    def empty(self) -> bool:
        """True when nothing waits and nothing is unacknowledged."""
        return not self._waiting and not self._in_flight
