"""MQTT 3.1.1 control packets in a stream of bytes (OASIS Standard, 29 October 2014, sections 2 and 3.3). Pure.

Only the frame is read, and of PUBLISH the topic: what passes through a proxy is to come out as it went in.
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
    """One control packet: its kind, the four flag bits, what follows the fixed header, and all of it as it came."""

    kind: Kind
    flags: int
    body: bytes
    raw: bytes

    @property
    def topic(self) -> str | None:
        """The topic of a PUBLISH, None for any other kind; raises PacketError when there is no readable one."""
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
    """Return a control packet as bytes; raises PacketError for flags or a body that do not fit one."""
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
    """Cuts a stream into packets, in whatever pieces it comes; keeps at most one packet of ``max_body`` bytes."""

    def __init__(self, max_body: int = MAX_REMAINING) -> None:
        self._max_body = max_body
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Take bytes and yield the packets that are complete with them; raises PacketError for what is none."""
        self._waiting += data
        while (packet := self._next()) is not None:
            yield packet

    @property
    def waiting(self) -> bytes:
        """The bytes of a packet that is not complete."""
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
        """Return where the body starts and its length, None when the header is not complete."""
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
                    raise PacketError(f"a packet of {length} bytes, at most {self._max_body} are taken")
                return at + 2, length
        raise PacketError("a remaining length of more than 4 bytes")
