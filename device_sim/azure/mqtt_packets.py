"""Packets of MQTT 3.1.1 as the stand-in of IoT Hub reads and writes them."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from device_sim.chaos import packets
from device_sim.chaos.packets import Kind as Kind


class ProtocolError(Exception):
    """The device does something that the hub answers by closing the connection."""


@dataclass(frozen=True, slots=True)
class Will:
    """Message that is sent for a device whose connection ends without DISCONNECT."""

    topic: str
    payload: bytes
    retain: bool


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """Content of CONNECT."""

    protocol: str
    level: int
    client_id: str
    clean: bool
    keepalive_s: int
    will: Will | None
    username: str
    password: str

    @classmethod
    def parse(cls, body: bytes) -> ConnectRequest:
        """Parse the body of a packet; raises ProtocolError."""
        try:
            protocol, at = text(body, 0)
            level, flags, keepalive_s = body[at], body[at + 1], int.from_bytes(body[at + 2 : at + 4])
            client_id, at = text(body, at + 4)
            will = None
            if flags & 0x04:
                topic, at = text(body, at)
                payload, at = content(body, at)
                if flags >> 3 & 3 == 2:
                    raise ProtocolError("will with QoS 2")
                will = Will(topic, payload, bool(flags & 0x20))
            username, at = text(body, at) if flags & 0x80 else ("", at)
            password, at = text(body, at) if flags & 0x40 else ("", at)
        except (IndexError, UnicodeDecodeError) as error:
            raise ProtocolError(f"malformed CONNECT: {error}") from error
        return cls(protocol, level, client_id, bool(flags & 0x02), keepalive_s, will, username, password)


def read(sock: socket.socket, limit: int) -> tuple[int, int, bytes]:
    """Return type, flags and body of the next packet.

    Raises OSError at the end of the connection, and ProtocolError for a packet over ``limit`` bytes.
    """
    first = _exactly(sock, 1)[0]
    length = shift = 0
    while True:
        byte = _exactly(sock, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if length > limit or shift > 28:
            raise ProtocolError(f"packet of more than {limit} bytes")
        if byte < 0x80:
            return first >> 4, first & 0x0F, _exactly(sock, length)


def encode(kind: Kind, body: bytes, flags: int = 0) -> bytes:
    """Return a packet."""
    return packets.encode(kind, flags, body)


def publish(topic: str, payload: bytes, packet_id: int, *, repeated: bool = False) -> bytes:
    """Return PUBLISH with QoS 1, or with QoS 0 if the packet id is 0."""
    name = topic.encode()
    head = len(name).to_bytes(2) + name
    if not packet_id:
        return encode(Kind.PUBLISH, head + payload)
    return encode(Kind.PUBLISH, head + packet_id.to_bytes(2) + payload, 0x0A if repeated else 0x02)


def text(body: bytes, at: int) -> tuple[str, int]:
    """Return a text and the position behind it."""
    found, end = content(body, at)
    return found.decode(), end


def content(body: bytes, at: int) -> tuple[bytes, int]:
    """Return bytes with a length before them, and the position behind them; raises IndexError."""
    end = at + 2 + int.from_bytes(body[at : at + 2])
    if at + 2 > len(body) or end > len(body):
        raise IndexError("the packet is too short")
    return body[at + 2 : end], end


def _exactly(sock: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = sock.recv(size - len(found))
        if not piece:
            raise ConnectionResetError("the device closed the connection")
        found += piece
    return bytes(found)
