"""Framing of MQTT 3.1.1 control packets (OASIS Standard, 29 October 2014, sections 2 and 3.3); pure.

Only the fixed header and the topic of a PUBLISH are parsed: a proxy must forward packets unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from device_sim.chaos.errors import PacketError

MAX_REMAINING = 268_435_455
_LENGTH_BYTES = 4


class Kind(IntEnum):
    """Control packet types (table 2.1)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


@dataclass(frozen=True, slots=True)
class Packet:
    """Control packet: its kind, the four flag bits, the bytes after the fixed header, and all bytes (``raw``)."""

    kind: Kind
    flags: int
    body: bytes
    raw: bytes

    @property
    def topic(self) -> str | None:
        """Topic of a PUBLISH, or None for other kinds; raises PacketError for an unreadable topic."""
        if self.kind is not Kind.PUBLISH:
            return None
        if len(self.body) < 2:
            raise PacketError(f"PUBLISH of {len(self.body)} bytes has no topic")
        length = int.from_bytes(self.body[:2], "big")
        name = self.body[2 : 2 + length]
        if len(name) != length:
            raise PacketError(f"PUBLISH: a topic of {length} bytes, {len(name)} are there")
        try:
            return name.decode()
        except UnicodeDecodeError as error:
            raise PacketError("PUBLISH: the topic is not UTF-8") from error


def encode(kind: Kind, flags: int, body: bytes) -> bytes:
    """Return a control packet as bytes; raises PacketError for invalid flags or a too large body."""
    if not 0 <= flags <= 15:
        raise PacketError(f"flags {flags}: 0 to 15")
    if len(body) > MAX_REMAINING:
        raise PacketError(f"a body of {len(body)} bytes, at most {MAX_REMAINING}")
    return bytes((kind << 4 | flags,)) + _length(len(body)) + body


def publish(topic: str, payload: bytes) -> bytes:
    """Return a PUBLISH of QoS 0."""
    name = topic.encode()
    return encode(Kind.PUBLISH, 0, len(name).to_bytes(2, "big") + name + payload)


def _length(number: int) -> bytes:
    """Return the remaining length as 1 to 4 bytes of 7 bits, lowest first (section 2.2.3)."""
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (128 if number else 0))
        if not number:
            return bytes(encoded)


class Framer:
    """Incremental splitter of a byte stream into packets; buffers at most one packet of ``max_body`` bytes."""

    def __init__(self, max_body: int = MAX_REMAINING) -> None:
        self._max_body = max_body
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets completed by ``data``; raises PacketError for a malformed packet."""
        self._waiting += data
        while (packet := self._next()) is not None:
            yield packet

    @property
    def waiting(self) -> bytes:
        """Bytes of the incomplete packet."""
        return bytes(self._waiting)

    def _next(self) -> Packet | None:
        header = self._header()
        if header is None:
            return None
        start, length = header
        if len(self._waiting) < start + length:
            return None
        raw = bytes(self._waiting[: start + length])
        del self._waiting[: start + length]
        return Packet(Kind(raw[0] >> 4), raw[0] & 15, raw[start:], raw)

    def _header(self) -> tuple[int, int] | None:
        """Return offset and length of the body, or None while the header is incomplete."""
        if not self._waiting:
            return None
        if self._waiting[0] >> 4 not in set(Kind):
            raise PacketError(f"packet type {self._waiting[0] >> 4} is reserved")
        length = 0
        for at in range(_LENGTH_BYTES):
            if len(self._waiting) < at + 2:
                return None
            digit = self._waiting[at + 1]
            length |= (digit & 127) << 7 * at
            if not digit & 128:
                if length > self._max_body:
                    raise PacketError(f"a packet of {length} bytes, at most {self._max_body} are accepted")
                return at + 2, length
        raise PacketError("a remaining length of more than 4 bytes")
