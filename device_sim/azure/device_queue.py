"""Queue of the messages that IoT Hub keeps for one device, after Microsoft's description of their life cycle. Pure.

A message waits until the device completes it (PUBACK) or it expires. One that was sent is locked for a minute; without
a completion it then waits again. Messages that wait or are locked count towards the limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_MESSAGES = 50
LOCK_S = 60.0


@dataclass(slots=True)
class QueuedMessage:
    """A message; times are in seconds of one clock."""

    payload: bytes
    queued_s: float
    expires_s: float
    locked_until_s: float = 0.0
    packet_id: int = 0


@dataclass(slots=True)
class DeviceQueue:
    """Messages for a device; ``subscribed_s`` is the start of its subscription, None without one."""

    ttl_s: float
    subscribed_s: float | None = None
    _messages: list[QueuedMessage] = field(default_factory=list)

    def put(self, payload: bytes, now_s: float) -> bool:
        """Add a message; return False if MAX_MESSAGES are in the queue."""
        self._expire(now_s)
        if len(self._messages) >= MAX_MESSAGES:
            return False
        self._messages.append(QueuedMessage(payload, now_s, now_s + self.ttl_s))
        return True

    def take(self, now_s: float) -> list[QueuedMessage]:
        """Lock and return the messages that the device receives now.

        These are messages that were sent after the start of its subscription, none without one.
        """
        self._expire(now_s)
        if self.subscribed_s is None:
            return []
        since = self.subscribed_s
        ready = [one for one in self._messages if one.queued_s >= since and one.locked_until_s <= now_s]
        for one in ready:
            one.locked_until_s = now_s + LOCK_S
        return ready

    def complete(self, packet_id: int) -> None:
        """Remove the message that was sent in a packet."""
        self._messages = [one for one in self._messages if one.packet_id != packet_id]

    def remove(self, message: QueuedMessage) -> None:
        """Remove a message that needs no completion (QoS 0)."""
        self._messages = [one for one in self._messages if one is not message]

    def __len__(self) -> int:
        return len(self._messages)

    def _expire(self, now_s: float) -> None:
        self._messages = [one for one in self._messages if one.expires_s > now_s]
