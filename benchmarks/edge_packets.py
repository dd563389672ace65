"""Prebuilt MQTT packets of the load generator. Pure.

Every PUBLISH is built once, with its packet id; only the event time, 13 digits at a fixed place, is replaced when a
stretch of the ring is sent. A packet id is used again only after its acknowledgement.
"""

from __future__ import annotations

from collections.abc import Iterable

from device_sim.chaos.packets import Kind, encode

PLACEHOLDER = b"0000000000000"
"""Placeholder of the event time in milliseconds, which has 13 digits until the year 2286."""

MARKER = rb"[^0-9.][23][0-9]\.[0-9][0-9]5(?![0-9])"
"""Matches the value of a reading, and nothing else, in any JSON that contains it."""

HISTORY_READINGS = 3
"""Past readings a series and window: enough for a spread, few enough to be sent fast."""

MAX_PACKETS = 60_000
MIN_ROUNDS = 4
CHANNELS = 8
VALUES = 101
"""Values of a series before they are repeated."""

MAX_ROUNDS = 2 * VALUES

QOS_1 = 2
STORED = "$SYS/broker/store/messages/count"
DROPPED = "$SYS/broker/publish/messages/dropped"
UPTIME = "$SYS/broker/uptime"


class LoadError(Exception):
    """The load cannot be generated as requested; the message states the reason."""


class Ring:
    """Messages of ``series`` series in turn, repeated with other values until the ring is full."""

    def __init__(self, series: int) -> None:
        if not 1 <= series <= MAX_PACKETS // MIN_ROUNDS:
            raise LoadError(f"series {series}: 1 to {MAX_PACKETS // MIN_ROUNDS} are allowed")
        rounds = MAX_PACKETS // series
        if rounds > VALUES:
            rounds = min(MAX_ROUNDS, rounds // VALUES * VALUES)
        self.size = rounds * series
        self.distinct = min(rounds, VALUES) * series
        """Messages in a row of which no two have series and value in common: with one time, no reading is repeated."""
        self._packets = [_publish(at % series, at // series, at + 1) for at in range(self.size)]
        self._acknowledgements = b"".join(b"\x40\x02" + (at + 1).to_bytes(2, "big") for at in range(self.size))
        self._part = 0

    def messages(self, first: int, count: int, time_ms: int) -> bytes:
        """Return the packets of messages number ``first`` and following, all with one event time."""
        at = first % self.size
        chosen = self._packets[at : at + count]
        if len(chosen) < count:
            chosen += self._packets[: count - len(chosen)]
        return b"".join(chosen).replace(PLACEHOLDER, b"%013d" % time_ms)

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


def series_names(series: int) -> list[str]:
    """Return the names that the gateway gives the series of a ring."""
    return [f"{device}.{channel}" for device, channel in map(_place, range(series))]


def connect_packet(client_id: str) -> bytes:
    """Return a CONNECT of a clean session without keep-alive."""
    return encode(Kind.CONNECT, 0, _text("MQTT") + b"\x04\x02\x00\x00" + _text(client_id))


def subscribe_packet(topics: Iterable[str]) -> bytes:
    """Return a SUBSCRIBE with QoS 0."""
    return encode(Kind.SUBSCRIBE, 2, b"\x00\x01" + b"".join(_text(topic) + b"\x00" for topic in topics))


def _publish(series: int, repetition: int, packet_id: int) -> bytes:
    device, channel = _place(series)
    value = 20 + series % 7 + (repetition * 37 + series * 11) % VALUES / 100
    payload = b'{"value":%.2f5,"time":%b}' % (value, PLACEHOLDER)  # see MARKER
    head = _text(f"sensors/{device}/{channel}") + packet_id.to_bytes(2, "big")
    return encode(Kind.PUBLISH, QOS_1, head + payload)


def _place(series: int) -> tuple[str, str]:
    return f"d{series // CHANNELS:04d}", f"c{series % CHANNELS}"


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()
