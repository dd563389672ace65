"""Tests of MQTT framing: packets are unchanged for any chunks of the stream."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.chaos.errors import PacketError
from device_sim.chaos.packets import Framer, Kind, Packet, encode, publish

PACKETS = st.builds(encode, st.sampled_from(Kind), st.integers(0, 15), st.binary(max_size=300) | st.just(bytes(16_400)))


@given(st.lists(PACKETS, max_size=6), st.lists(st.integers(0, 17_000), max_size=10))
def test_packets_are_complete_and_in_order_for_any_division_of_the_stream(
    packets: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(packets)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    framer = Framer()
    found = [packet for a, b in itertools.pairwise(edges) for packet in framer.feed(stream[a:b])]
    assert [packet.raw for packet in found] == packets
    assert framer.waiting == b""
    assert all(encode(packet.kind, packet.flags, packet.body) == packet.raw for packet in found)


@given(st.binary(max_size=400))
def test_any_bytes_give_their_packets_or_a_packet_error(data: bytes) -> None:
    framer = Framer(max_body=200)
    found: list[Packet] = []
    try:
        found.extend(framer.feed(data))
    except PacketError:
        return
    assert b"".join(packet.raw for packet in found) + framer.waiting == data


@given(st.binary(max_size=64))
def test_a_publish_gives_its_topic_or_a_packet_error(body: bytes) -> None:
    (packet,) = Framer().feed(encode(Kind.PUBLISH, 0, body))
    try:
        topic = packet.topic
    except PacketError:
        return
    assert topic is not None
    assert packet.body[2:].startswith(topic.encode())


def test_the_topic_of_a_publish_is_read() -> None:
    (packet,) = Framer().feed(publish("strandline/v1/gw/ack", b"{}"))
    assert packet.topic == "strandline/v1/gw/ack"
    assert packet.body.endswith(b"{}")


def test_other_packets_have_no_topic() -> None:
    (packet,) = Framer().feed(encode(Kind.PINGREQ, 0, b""))
    assert packet.topic is None


@pytest.mark.parametrize("data", [b"\x00\x00", b"\xf0\x00", b"\x30\xff\xff\xff\xff\x01"])
def test_reserved_types_and_too_long_lengths_are_rejected(data: bytes) -> None:
    with pytest.raises(PacketError):
        list(Framer().feed(data))


def test_a_packet_above_the_limit_is_rejected_before_it_is_buffered() -> None:
    with pytest.raises(PacketError, match="at most 100"):
        list(Framer(max_body=100).feed(b"\x30\x65"))
