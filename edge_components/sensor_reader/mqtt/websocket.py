"""WebSocket frames (RFC 6455) around MQTT's stream of bytes, and the socket that reads and writes them.

The MQTT library reads a frame byte by byte and holds it whole at any size. Here all frames of one read are taken
at once, and a payload is passed on as it is received.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct

from edge_components.sensor_reader.errors import ProtocolError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MAX_CONTROL = 125
"""The longest payload of a control frame."""


class FrameReader:
    """The reader of one connection's frames. Pure."""

    def __init__(self) -> None:
        self._head = b""
        """Bytes of an incomplete header or control frame."""
        self._left = 0
        """Number of bytes of the current frame's payload that were not received yet."""
        self.closed = False
        """True after the peer's close frame."""

    def feed(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Return the payload in ``data`` and the answers to be sent: to the last ping, and to a close frame.

        Raises ProtocolError.
        """
        pieces: list[bytes] = []
        ping: bytes | None = None
        close = b""
        data = self._head + data
        self._head = b""
        at, end = 0, len(data)
        while at < end and not self.closed:
            if self._left:
                pieces.append(data[at : at + self._left])
                at += len(pieces[-1])
                self._left -= len(pieces[-1])
                continue
            found = _header(data, at)
            if found is None:
                self._head = data[at:]
                break
            opcode, length, start = found
            if opcode in (BINARY, CONTINUATION):
                self._left, at = length, start
                continue
            if start + length > end:
                self._head = data[at:]
                break
            at = start + length
            if opcode == PING:
                ping = data[start:at]
            elif opcode == CLOSE:
                close = frame(CLOSE, data[start : start + 2])
                self.closed = True
        pong = b"" if ping is None else frame(PONG, ping)
        return b"".join(pieces), [answer for answer in (pong, close) if answer]


def _header(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return opcode, payload length and start of the payload, None where the header is not complete."""
    if len(data) - at < 2:
        return None
    opcode, length, start = data[at] & 15, data[at + 1], at + 2
    if data[at] & 0x70:
        raise ProtocolError("a WebSocket frame of an extension that was not negotiated")
    if length > 127:
        raise ProtocolError("a masked WebSocket frame from the broker")
    if opcode == TEXT or opcode not in (CONTINUATION, BINARY, CLOSE, PING, PONG):
        raise ProtocolError(f"a WebSocket frame of type {opcode}, expected a binary one")
    if opcode >= CLOSE and length > _MAX_CONTROL:
        raise ProtocolError(f"a WebSocket control frame of more than {_MAX_CONTROL} bytes")
    if length > _MAX_CONTROL:
        size = 2 if length == 126 else 8
        if len(data) - start < size:
            return None
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    return opcode, length, start


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame of a client, which is masked."""
    length = len(payload)
    head = bytes((0x80 | opcode,))
    if length <= _MAX_CONTROL:
        head += bytes((0x80 | length,))
    elif length < 65_536:
        head += b"\xfe" + struct.pack(">H", length)
    else:
        head += b"\xff" + struct.pack(">Q", length)
    mask = os.urandom(4)
    key = (mask * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + masked.to_bytes(length, "big")


class WebSocket:
    """A connected WebSocket with the methods of a socket that an MQTT client uses."""

    def __init__(self, sock: socket.socket | ssl.SSLSocket) -> None:
        self._sock = sock
        self._reader = FrameReader()
        self._out = b""
        """The rest of a frame that was begun, and answers to control frames."""
        self._begun = 0
        """The payload bytes of the frame that is being sent, 0 for none."""

    def recv(self, size: int) -> bytes:
        """Return payload, empty at the end of the connection; raises BlockingIOError if none was received."""
        data = self._sock.recv(size)
        if not data:
            return b""
        payload, answers = self._reader.feed(data)
        self._out += b"".join(answers)
        if answers and not self._begun:
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                self._flush()
        if not payload and not self._reader.closed:
            raise BlockingIOError
        return payload

    def send(self, data: bytes | bytearray) -> int:
        """Send data as one frame; return its length, or 0 as long as it has to be given again to be sent completely."""
        if not self._begun:
            self._out += frame(BINARY, bytes(data))
            self._begun = len(data)
        self._flush()
        if self._out:
            return 0
        sent, self._begun = self._begun, 0
        return sent

    def _flush(self) -> None:
        while self._out:
            self._out = self._out[self._sock.send(self._out) :]

    def pending(self) -> int:
        """Return the number of bytes that TLS has decrypted and that were not read."""
        return self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Make calls wait, or not."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()
