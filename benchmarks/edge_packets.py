"""Prebuilt MQTT packets of the load generator. Pure.

Every PUBLISH is built once, with its packet id; only the event times (see edge_shapes.py) are replaced when a part of
the ring is sent. A packet id is used again only after its acknowledgement.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.edge_shapes import SHAPES, VALUES, Shape
from device_sim.chaos.packets import Kind, encode

MARKER = rb"[^0-9.][23][0-9]\.[0-9][0-9]5(?![0-9])"
"""Matches the value of a reading, and nothing else, in any JSON that contains it."""

HISTORY_READINGS = 3
"""Past readings a series and window: enough for a spread, few enough to be sent fast."""

MAX_PACKETS = 60_000
MIN_ROUNDS = 4
QOS_1 = 2
STORED = "$SYS/broker/store/messages/count"
DROPPED = "$SYS/broker/publish/messages/dropped"
UPTIME = "$SYS/broker/uptime"


class LoadError(Exception):
    """The load cannot be generated as requested; the message states the reason."""


class Ring:
    """Messages of ``series`` series, in rounds, repeated with other values until the ring is full."""

    def __init__(self, series: int, shape: Shape = SHAPES["single"]) -> None:
        if not 1 <= series <= MAX_PACKETS // MIN_ROUNDS:
            raise LoadError(f"series {series}: 1 to {MAX_PACKETS // MIN_ROUNDS} are allowed")
        if series % shape.series:
            raise LoadError(f"series {series}: a multiple of {shape.series}, the series of a message")
        self._shape = shape
        messages = series // shape.series
        rounds, whole = MAX_PACKETS // messages, shape.rounds
        if rounds > whole:
            rounds = min(2 * VALUES, rounds) // whole * whole or whole
        self.size = rounds * messages
        self.distinct = min(rounds, VALUES) * messages
        """Messages in a row of which no two have series and value in common: with one time, no reading is repeated."""
        self._packets = [_publish(*shape.message(at, messages), at + 1) for at in range(self.size)]
        self._first = b"".join(_publish(topic, payload) for topic, payload in shape.first(messages))
        self._acknowledgements = b"".join(b"\x40\x02" + (at + 1).to_bytes(2, "big") for at in range(self.size))
        self._part = 0

    def messages(self, first: int, count: int, time_ms: int) -> bytes:
        """Return the packets of messages number ``first`` and following, all with one event time."""
        at = first % self.size
        chosen = self._packets[at : at + count]
        if len(chosen) < count:
            chosen += self._packets[: count - len(chosen)]
        return self._shape.stamped(b"".join(chosen), time_ms)

    def births(self, time_ms: int) -> bytes:
        """Return the packets to send before the messages; the broker does not acknowledge them."""
        return self._shape.stamped(self._first, time_ms)

    def acknowledged(self, accepted: int, data: bytes) -> int:
        """Return how many further messages ``data`` acknowledges after ``accepted``; raises LoadError otherwise.

        A broker acknowledges in the order of the messages, so its answers are one known sequence of bytes.
        """
        at = accepted % self.size * 4 + self._part
        expected = self._acknowledgements[at : at + len(data)]
        while len(expected) < len(data):
            expected += self._acknowledgements[: len(data) - len(expected)]
        if data != expected:
            raise LoadError("the broker sent something else than the acknowledgements due")
        whole, self._part = divmod(self._part + len(data), 4)
        return whole


def connect_packet(client_id: str) -> bytes:
    """Return a CONNECT of a clean session without keep-alive."""
    return encode(Kind.CONNECT, 0, _text("MQTT") + b"\x04\x02\x00\x00" + _text(client_id))


def subscribe_packet(topics: Iterable[str]) -> bytes:
    """Return a SUBSCRIBE with QoS 0."""
    return encode(Kind.SUBSCRIBE, 2, b"\x00\x01" + b"".join(_text(topic) + b"\x00" for topic in topics))


def _publish(topic: str, payload: bytes, packet_id: int | None = None) -> bytes:
    """Return a PUBLISH, with QoS 1 where it has a packet id."""
    if packet_id is None:
        return encode(Kind.PUBLISH, 0, _text(topic) + payload)
    return encode(Kind.PUBLISH, QOS_1, _text(topic) + packet_id.to_bytes(2, "big") + payload)


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()
