"""WebSocket frames are read in any pieces, answered, masked when sent, and refused where they break the protocol."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from edge_components.sensor_reader.errors import ProtocolError
from edge_components.sensor_reader.mqtt.websocket import BINARY, CLOSE, PING, PONG, FrameReader, WebSocket, frame


def sent_by_broker(opcode: int, payload: bytes, final: bool = True) -> bytes:
    length = len(payload)
    head = bytes((opcode | (0x80 if final else 0),))
    if length < 126:
        return head + bytes((length,)) + payload
    return (
        head
        + (b"\x7e" + struct.pack(">H", length) if length < 65_536 else b"\x7f" + struct.pack(">Q", length))
        + payload
    )


def unmasked(data: bytes) -> tuple[int, bytes]:
    """Return opcode and payload of one frame of a client."""
    assert data[1] & 0x80
    length, at = data[1] & 127, 2
    if length >= 126:
        size = 2 if length == 126 else 8
        length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    mask, body = data[at : at + 4], data[at + 4 :]
    assert len(body) == length
    return data[0] & 15, bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))


@pytest.mark.parametrize("length", [1, 125, 126, 65_535, 65_536, 70_001])
def test_a_sent_frame_is_masked_and_has_its_length(length: int) -> None:
    payload = bytes(range(256)) * (length // 256 + 1)
    assert unmasked(frame(BINARY, payload[:length])) == (BINARY, payload[:length])


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1_000_000])
def test_frames_are_read_in_any_pieces(piece: int) -> None:
    long = bytes(range(256)) * 300
    data = (
        sent_by_broker(BINARY, b"abc")
        + sent_by_broker(PING, b"are you there")
        + sent_by_broker(BINARY, b"")
        + sent_by_broker(BINARY, b"de", final=False)
        + sent_by_broker(0, long)
        + sent_by_broker(BINARY, bytes(300))
        + sent_by_broker(CLOSE, b"\x03\xe8bye")
        + sent_by_broker(BINARY, b"never read")
    )
    reader, payload, answers = FrameReader(), b"", []
    for at in range(0, len(data), piece):
        found, more = reader.feed(data[at : at + piece])
        payload, answers = payload + found, answers + more
    assert payload == b"abcde" + long + bytes(300)
    assert [unmasked(answer) for answer in answers] == [(PONG, b"are you there"), (CLOSE, b"\x03\xe8")]
    assert reader.closed


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x82\x81abcdx", "masked"),
        (b"\x81\x01x", "type 1"),
        (b"\x83\x01x", "type 3"),
        (b"\xc2\x01x", "extension"),
        (b"\x89\x7e\x00\x80" + bytes(128), "control frame"),
    ],
)
def test_what_breaks_the_protocol_is_named(data: bytes, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        FrameReader().feed(data)


def test_a_frame_that_announces_much_takes_no_memory() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x82\x7f" + struct.pack(">Q", 2**62) + b"x")[0] == b"x"
    for _ in range(100):
        assert reader.feed(bytes(10_000))[0] == bytes(10_000)
    assert vars(reader)["_head"] == b""


@pytest.fixture
def pair() -> Iterator[tuple[WebSocket, socket.socket]]:
    client, broker = socket.socketpair()
    client.setblocking(False)
    yield WebSocket(client), broker
    client.close()
    broker.close()


def test_the_socket_gives_payload_waits_for_more_and_ends(pair: tuple[WebSocket, socket.socket]) -> None:
    ours, broker = pair
    with pytest.raises(BlockingIOError):
        ours.recv(100)
    broker.sendall(sent_by_broker(PING, b"x"))
    with pytest.raises(BlockingIOError):
        ours.recv(100)
    assert unmasked(broker.recv(100)) == (PONG, b"x")
    broker.sendall(sent_by_broker(BINARY, b"abc") + sent_by_broker(BINARY, b"d"))
    assert ours.recv(100) == b"abcd"
    broker.sendall(sent_by_broker(CLOSE, b""))
    assert ours.recv(100) == b""


def test_what_the_network_does_not_take_at_once_is_sent_later_in_one_frame(
    pair: tuple[WebSocket, socket.socket],
) -> None:
    ours, broker = pair
    data = bytes(range(256)) * 8_192
    sent, received = 0, b""
    broker.setblocking(False)
    while not sent:
        try:
            sent = ours.send(data)
        except BlockingIOError:
            received += broker.recv(1_000_000)
    while True:
        try:
            received += broker.recv(1_000_000)
        except BlockingIOError:
            break
    assert sent == len(data)
    assert unmasked(received) == (BINARY, data)
