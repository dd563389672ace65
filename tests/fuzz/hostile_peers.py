"""Peers that answer a source with what its protocol does not allow: a Modbus device and an OPC UA server."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Self

Answer = Callable[[bytes, random.Random], bytes]
"""Makes the bytes of an answer from those of a request."""

VALUES = (1234, 0, 65_535, 7)
"""The registers that a right answer has, from address 0."""


class Peer:
    """A TCP server that gives each request the next answer of a list, then right ones; deterministic by its seed.

    ``complete`` returns the length of the first request in what has come, 0 while it is not complete.
    """

    def __init__(
        self, answers: Sequence[Answer], right: Answer, complete: Callable[[bytes], int], seed: int = 1
    ) -> None:
        self._answers, self._right, self._complete = list(answers), right, complete
        self._rng = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """The number of wrong answers that were not given yet."""
        return len(self._answers)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        waiting = b""
        with contextlib.suppress(OSError):
            while data := connection.recv(4_096):
                waiting += data
                while length := self._complete(waiting):
                    request, waiting = waiting[:length], waiting[length:]
                    with self._lock:
                        answer = self._answers.pop(0) if self._answers else self._right
                        content = answer(request, self._rng)
                    connection.sendall(content)


def tcp_length(data: bytes) -> int:
    """Return the length of the first Modbus TCP request."""
    size = 6 + int.from_bytes(data[4:6], "big") if len(data) >= 6 else 0
    return size if 0 < size <= len(data) else 0


def rtu_length(data: bytes) -> int:
    """Return the length of the first Modbus RTU request to read registers."""
    return 8 if len(data) >= 8 else 0


def crc16(data: bytes) -> bytes:
    """Return the checksum of a Modbus RTU frame."""
    crc = 0xFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


class Framing:
    """Frames of one Modbus transport."""

    def __init__(self, rtu: bool) -> None:
        self.rtu = rtu

    def request(self, frame: bytes) -> tuple[int, int, int, int]:
        """Return transaction, unit, address and count of a request."""
        transaction, body = (0, frame[:-2]) if self.rtu else (int.from_bytes(frame[:2], "big"), frame[6:])
        unit, _function, address, count = struct.unpack(">BBHH", body)
        return transaction, unit, address, count

    def frame(self, transaction: int, unit: int, pdu: bytes, length: int | None = None) -> bytes:
        """Return a frame; ``length`` replaces the right one of Modbus TCP."""
        if self.rtu:
            body = bytes((unit,)) + pdu
            return body + crc16(body)
        return struct.pack(">HHHB", transaction, 0, len(pdu) + 1 if length is None else length, unit) + pdu

    def right(self, frame: bytes, _rng: random.Random) -> bytes:
        """Return the right answer."""
        transaction, unit, address, count = self.request(frame)
        return self.frame(transaction, unit, self.pdu(address, count))

    @staticmethod
    def pdu(address: int, count: int) -> bytes:
        """Return function, byte count and registers."""
        words = VALUES[address : address + count]
        return bytes((3, 2 * len(words))) + struct.pack(f">{len(words)}H", *words)

    def answers(self) -> list[Answer]:
        """Return the wrong answers: every truncation, wrong fields, exceptions of all codes, garbage."""
        length = len(self.frame(0, 1, self.pdu(0, 4)))
        made: list[Answer] = [self._cut(at) for at in range(1, length)]
        made += [self._changed(*change) for change in ((1, 0, 0), (0, 5, 0), (0, 0, 4), (0, 0, 0x03), (0, 0, 0x7F))]
        made += [self._exception(code) for code in (0, 1, 2, 3, 4, 5, 6, 8, 10, 11, 99, 255)]
        made += [self._byte_count(count) for count in (0, 1, 2, 7, 9, 255)]
        if not self.rtu:
            made += [self._length(size) for size in (0, 1, 2, 3, 10, 255, 65_535)]
        made += [_garbage(size) for size in (1, 5, 9, 20, 300, 5_000)]
        made += [self._twice, self._late_rest]
        return made

    def _cut(self, at: int) -> Answer:
        return lambda frame, rng: self.right(frame, rng)[:at]

    def _changed(self, transaction: int, unit: int, function: int) -> Answer:
        def answer(frame: bytes, _rng: random.Random) -> bytes:
            own, device, address, count = self.request(frame)
            pdu = self.pdu(address, count)
            return self.frame(own + transaction, device + unit, bytes((function or 3,)) + pdu[1:])

        return answer

    def _exception(self, code: int) -> Answer:
        def answer(frame: bytes, _rng: random.Random) -> bytes:
            transaction, unit, _address, _count = self.request(frame)
            return self.frame(transaction, unit, bytes((0x83, code)))

        return answer

    def _byte_count(self, count: int) -> Answer:
        def answer(frame: bytes, _rng: random.Random) -> bytes:
            transaction, unit, address, registers = self.request(frame)
            pdu = self.pdu(address, registers)
            return self.frame(transaction, unit, pdu[:1] + bytes((count,)) + pdu[2:])

        return answer

    def _length(self, size: int) -> Answer:
        def answer(frame: bytes, _rng: random.Random) -> bytes:
            transaction, unit, address, count = self.request(frame)
            return self.frame(transaction, unit, self.pdu(address, count), size)

        return answer

    def _twice(self, frame: bytes, rng: random.Random) -> bytes:
        return self.right(frame, rng) * 2

    def _late_rest(self, frame: bytes, rng: random.Random) -> bytes:
        return bytes(3) + self.right(frame, rng) + bytes(3)


def _garbage(size: int) -> Answer:
    return lambda _frame, rng: rng.randbytes(size)


def opc_length(data: bytes) -> int:
    """Return the length of the first message of OPC UA's TCP protocol."""
    size = int.from_bytes(data[4:8], "little") if len(data) >= 8 else 0
    return size if 0 < size <= len(data) else 0


def opc_message(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    """Return a message; ``size`` replaces the right one."""
    return kind + struct.pack("<I", len(body) + 8 if size is None else size) + body


OPC_ACK = opc_message(b"ACKF", struct.pack("<IIIII", 0, 65_536, 65_536, 0, 0))
OPC_ANSWERS: list[Answer] = [
    *(lambda _f, _r, at=at: OPC_ACK[:at] for at in (1, 4, 8, 12, 27)),
    lambda _f, _r: opc_message(b"ERRF", struct.pack("<I", 0x80010000) + struct.pack("<i", -1)),
    lambda _f, _r: opc_message(b"ERRF", struct.pack("<I", 0x80010000) + struct.pack("<I", 0xFFFF) + b"x"),
    lambda _f, _r: opc_message(b"ACKF", b"", 0xFFFFFFFF),
    lambda _f, _r: opc_message(b"ACKF", bytes(20), 4),
    lambda _f, _r: opc_message(b"MSGF", bytes(60)),
    lambda _f, _r: opc_message(b"XXXX", bytes(20)),
    lambda _f, _r: OPC_ACK + opc_message(b"OPNF", bytes(200)),
    lambda _f, rng: OPC_ACK + opc_message(b"OPNF", rng.randbytes(200)),
    lambda _f, rng: OPC_ACK + opc_message(b"MSGF", rng.randbytes(200)),
    lambda _f, _r: OPC_ACK + OPC_ACK + OPC_ACK,
    *(lambda _f, rng, size=size: rng.randbytes(size) for size in (1, 8, 9, 100, 5_000)),
]
"""Wrong answers to a client's first message."""


def http_length(data: bytes) -> int:
    """Return the length of the first HTTP request without a body."""
    return data.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0


def http_answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Return an answer; only ``headers`` can give its length."""
    return b"\r\n".join((b"HTTP/1.1 " + status, *headers, b"", body))


def http_right(_request: bytes, _rng: random.Random) -> bytes:
    """Return a right answer."""
    return http_answer(b'{"v": 5}', b"Content-Length: 8", b"Connection: close")


_CHUNKED = b"Transfer-Encoding: chunked"
HTTP_ANSWERS: list[Answer] = [
    *(lambda _f, _r, at=at: http_right(_f, _r)[:at] for at in (1, 9, 12, 20, 60)),
    lambda _f, _r: b"\r\n\r\n\r\n",
    lambda _f, _r: b"SIP/2.0 200 OK\r\n\r\n",
    lambda _f, _r: http_answer(b"{", b"Content-Length: 4000000000"),
    *(
        lambda _f, _r, n=n: http_answer(b'{"v": 1}', b"Content-Length: " + n, b"Connection: close")
        for n in (b"-8", b"x", b"3", b"0")
    ),
    *(lambda _f, _r, size=size: http_answer(size + b"\r\n{}", _CHUNKED) for size in (b"zz", b"-1", b"f" * 15, b"")),
    lambda _f, _r: http_answer(b"", b"X: " + b"x" * 70_000),
    lambda _f, _r: http_answer(b"", *(b"X%d: 1" % at for at in range(200))),
    lambda _f, _r: http_answer(b"", b"Content-Length: 0", status=b"99999 X"),
    lambda _f, _r: http_answer(b"", b"Content-Length: 0", status=b"503 Service Unavailable"),
    *(
        lambda _f, _r, to=to: http_answer(b"", b"Content-Length: 0", b"Location: " + to, status=b"302 Found")
        for to in (b"/", b"file:///etc/hostname", b"http://[", b"http://127.0.0.1:1/")
    ),
    lambda _f, _r: http_answer(b"[" * 100_000, b"Content-Length: 100000"),
    *(lambda _f, rng, size=size: rng.randbytes(size) for size in (1, 100, 5_000)),
]
"""Wrong answers of a web server: they are truncated, of another protocol, or contradict themselves."""
