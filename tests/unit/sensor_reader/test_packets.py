"""Packets are read from any pieces of the stream, and invalid bytes are rejected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.sensor_reader.errors import ProtocolError
from edge_components.sensor_reader.mqtt.packets import PacketReader

MAX_PAYLOAD = 300


def length_of(size: int) -> bytes:
    found = bytearray()
    while True:
        size, digit = divmod(size, 128)
        found.append(digit | (128 if size else 0))
        if not size:
            return bytes(found)


def publish(
    topic: bytes, payload: bytes, qos: int = 0, mid: int = 1, retain: bool = False, properties: bytes | None = None
) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"")
    if properties is not None:
        body += length_of(len(properties)) + properties
    body += payload
    return bytes((0x30 | qos << 1 | retain,)) + length_of(len(body)) + body


def read(stream: bytes, cuts: list[int], version5: bool = False) -> tuple[list[tuple[object, ...]], list[bytes]]:
    """Feed the stream in pieces, and return each publication as a tuple, and the other packets."""
    reader = PacketReader(MAX_PAYLOAD, version5)
    rows: list[tuple[object, ...]] = []
    others: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found, more = reader.feed(stream[start:end])
        others += more
        for at, columns in enumerate(zip(found.topics, found.payloads, found.acknowledgements, strict=True)):
            rows.append((*columns, at in found.retained, found.oversize.get(at)))
    return rows, others


publications = st.tuples(
    st.binary(max_size=140),
    st.binary(max_size=2 * MAX_PAYLOAD),
    st.integers(0, 2),
    st.integers(1, 65_535),
    st.booleans(),
)


@given(
    st.data(), st.lists(publications | st.sampled_from([b"\xd0\0", b"\x62\2\0\7", b"\x90\3\0\1\x80"])), st.booleans()
)
def test_packets_do_not_depend_on_where_the_stream_is_cut(
    data: st.DataObject, packets: list[tuple[bytes, bytes, int, int, bool] | bytes], version5: bool
) -> None:
    properties = data.draw(st.binary(max_size=200)) if version5 else None
    stream, expected, others = b"", [], []
    for packet in packets:
        if isinstance(packet, bytes):
            stream += packet
            others.append(packet)
            continue
        topic, payload, qos, mid, retain = packet
        stream += publish(*packet, properties)
        acknowledgement = (b"", b"\x40\2", b"\x50\2")[qos] + (mid.to_bytes(2, "big") if qos else b"")
        large = len(payload) > MAX_PAYLOAD
        expected.append((topic, b"" if large else payload, acknowledgement, retain, len(payload) if large else None))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    assert read(stream, cuts, version5) == (expected, others)
    assert read(stream, list(range(len(stream))), version5) == (expected, others)


def test_an_oversize_publication_is_not_buffered() -> None:
    reader = PacketReader(MAX_PAYLOAD, False)
    whole = publish(b"sensors/a/b", bytes(10_000_000), qos=1, mid=258) + publish(b"t", b"1")
    found, _ = reader.feed(whole[:1000])
    assert (found.topics, found.oversize, found.acknowledgements) == ([b"sensors/a/b"], {0: 10_000_000}, [b"@\2\1\2"])
    for at in range(1000, len(whole), 100_000):
        assert len(reader._rest) == 0
        found, _ = reader.feed(whole[at : at + 100_000])
    assert (found.topics, found.payloads) == ([b"t"], [b"1"])


@pytest.mark.parametrize(
    "stream",
    [
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30\0",
        b"\x30\1\0",
        b"\x30\2\0\5",
        b"\x32\3\0\0\0",
        b"\x36\5\0\0\0\1x",
        publish(b"t" * 100, b"")[:50].replace(b"\x30\x66", b"\x30\x05"),
    ],
)
def test_invalid_mqtt_packets_are_rejected(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        PacketReader(MAX_PAYLOAD, False).feed(stream)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_rejected(stream: bytes, version5: bool) -> None:
    reader = PacketReader(MAX_PAYLOAD, version5)
    try:
        for at in range(0, len(stream), 7):
            reader.feed(stream[at : at + 7])
    except ProtocolError:
        pass
