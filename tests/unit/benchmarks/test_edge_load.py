"""Packets, pace and window of the load generator, on which the figures depend."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.edge_pace import FIRST_RATE, ClosedLoop, Steady
from benchmarks.edge_packets import MARKER, LoadError, Ring
from benchmarks.edge_shapes import SHAPES, Shape
from benchmarks.edge_window import Window
from device_sim.chaos.packets import Framer, Kind, Packet, encode
from edge_components.sensor_reader.mapping.bindings import read_bindings
from edge_components.sensor_reader.mapping.decoder import Decoder
from tests.examples import some_slow
from tests.unit.sensor_reader.decoding import ARRIVAL_MS, read

NOW_MS = 1_800_000_000_123
TIME_MS = ARRIVAL_MS - 5_000
BACKLOG = 300


def packets(data: bytes) -> list[Packet]:
    return list(Framer().feed(data))


def payload_of(packet: Packet) -> dict[str, float]:
    """Return what follows topic and packet id."""
    found: dict[str, float] = json.loads(packet.body[2 + len(packet.topic or "") + 2 :])
    return found


@pytest.mark.parametrize("series", some_slow([1, 10, 200, 500, 10_000], fast=2))
def test_no_reading_is_repeated_among_messages_with_one_time(series: int) -> None:
    ring = Ring(series)
    for first in (0, ring.size - ring.distinct // 2):  # also where the ring begins again
        sent = packets(ring.messages(first, ring.distinct, NOW_MS))
        assert len({(packet.topic, payload_of(packet)["value"]) for packet in sent}) == ring.distinct


def test_a_ring_sends_each_series_in_turn_with_the_present_time() -> None:
    sent = packets(Ring(3).messages(0, 4, NOW_MS))
    assert [packet.topic for packet in sent] == [
        "sensors/d0000/c0",
        "sensors/d0000/c1",
        "sensors/d0000/c2",
        "sensors/d0000/c0",
    ]
    payloads = [payload_of(packet) for packet in sent]
    assert {payload["time"] for payload in payloads} == {NOW_MS}
    assert payloads[0]["value"] != payloads[3]["value"]  # the aggregator drops repetitions
    assert all(packet.flags == 2 for packet in sent)  # QoS 1


def test_packet_ids_differ_until_the_ring_is_round() -> None:
    ring = Ring(7)
    first = packets(ring.messages(0, ring.size, NOW_MS))
    ids = [packet.body[2 + len(packet.topic or "") :][:2] for packet in first]
    assert len(set(ids)) == ring.size
    wrapped = packets(ring.messages(ring.size - 1, 2, NOW_MS))
    assert [packet.raw for packet in wrapped] == [first[-1].raw, first[0].raw]


def test_acknowledgements_are_counted_in_any_pieces() -> None:
    ring = Ring(5)
    data = b"".join(encode(Kind.PUBACK, 0, (at + 1).to_bytes(2, "big")) for at in range(10))
    accepted = 0
    for piece in (data[:3], data[3:4], data[4:30], data[30:]):
        accepted += ring.acknowledged(accepted, piece)
    assert accepted == 10


def test_anything_but_the_acknowledgement_due_is_an_error() -> None:
    with pytest.raises(LoadError, match="acknowledgements due"):
        Ring(5).acknowledged(0, encode(Kind.PUBACK, 0, b"\x00\x02"))


def test_too_many_series_are_rejected_with_the_limit() -> None:
    with pytest.raises(LoadError, match="1 to 15000"):
        Ring(15_001)


def test_names_of_single_readings_are_those_of_device_and_channel() -> None:
    assert SHAPES["single"].names(9)[7:] == ["d0000.c7", "d0001.c0"]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_reader_takes_every_reading_of_a_message_under_the_names_and_times_of_its_shape(shape: Shape) -> None:
    binding = read_bindings(dict(shape.source) or {"topics": [{"topic": "sensors/{device}/{channel}"}]}, [])[0]
    decoder, ring, found = Decoder(binding), Ring(24, shape), []
    messages = 24 // shape.series
    data = ring.births(TIME_MS) + ring.messages(0, messages, TIME_MS) + ring.messages(messages, messages, TIME_MS + 200)
    for packet in packets(data):
        at = 2 + len(packet.topic or "") + (2 if packet.flags & 6 else 0)
        columns = decoder.decode([(packet.topic or "").encode()], [packet.body[at:]])
        assert columns.rejections == []
        assert columns.replies == []
        if "BIRTH" not in (packet.topic or ""):
            assert len(columns.values) == shape.readings
            found += read(decoder, columns, packet.topic or "")
    assert {name for name, *_ in found} == set(shape.names(messages))
    readings = {(name, time, value) for name, value, time, *_ in found}
    assert len(readings) == 2 * messages * shape.readings
    assert {time for _, time, _ in readings} >= {TIME_MS, TIME_MS + 200}
    assert min(time for _, time, _ in readings) > TIME_MS - 200


@pytest.mark.slow
def test_the_sequence_numbers_of_a_sparkplug_node_have_no_gap_also_where_the_ring_repeats() -> None:
    ring, decoder = Ring(200, SHAPES["sparkplug"]), Decoder(read_bindings({"preset": "sparkplug"}, [])[0])
    data = ring.births(NOW_MS) + ring.messages(0, ring.size, NOW_MS) + ring.messages(ring.size, 300, NOW_MS)
    for packet in packets(data):
        at = 2 + len(packet.topic or "") + (2 if packet.flags & 6 else 0)
        assert decoder.decode([(packet.topic or "").encode()], [packet.body[at:]]).replies == []


def test_series_that_do_not_fill_messages_are_refused() -> None:
    with pytest.raises(LoadError, match="a multiple of 8"):
        Ring(12, SHAPES["fields"])


def test_the_marker_finds_each_value_in_other_forms_of_json_and_no_time() -> None:
    ring = Ring(40)
    sent = packets(ring.messages(0, ring.size, NOW_MS))
    values = [payload_of(packet)["value"] for packet in sent]
    again = json.dumps([{"ts": NOW_MS, "values": {"value": value}} for value in values]).encode()
    assert len(re.findall(MARKER, again)) == len(values)
    assert len(re.findall(MARKER, b"".join(packet.raw for packet in sent))) == len(values)


def test_a_steady_pace_spreads_messages_evenly() -> None:
    pace = Steady(24.0, sent=100)
    assert [pace.allowed(second) for second in (0.0, 1.0, 60.0)] == [100, 124, 1_540]
    assert pace.wait(100, 0.0) == pytest.approx(1 / 24)


def test_a_closed_loop_follows_the_consumer_up_and_down() -> None:
    pace = ClosedLoop(sent=0, backlog=BACKLOG)
    assert pace.allowed(0.0) == BACKLOG
    total = 0
    for second in range(1, 21):
        total += 8_000
        pace.consumed(total, float(second))
    assert pace.allowed(20.0) == total + 8_000  # one second of work is queued
    for second in range(21, 24):
        pace.consumed(total, float(second))
    assert pace.allowed(23.0) == total + BACKLOG


def test_load_for_a_stopped_consumer_is_bounded() -> None:
    pace = ClosedLoop(sent=0, backlog=BACKLOG)
    assert pace.allowed(3_600.0) <= BACKLOG + 2 * FIRST_RATE


def publication(packet_id: int, qos: int = 1) -> bytes:
    return encode(Kind.PUBLISH, qos << 1, b"\x00\x01t" + (packet_id.to_bytes(2, "big") if qos else b"") + b"x")


def test_a_window_holds_back_what_is_over_it_until_acknowledged() -> None:
    window = Window(2)
    assert len(packets(window.from_broker(b"".join(map(publication, (1, 2, 3, 4)))))) == 2
    assert window.from_broker(publication(5)) == b""
    released = window.from_client(encode(Kind.PUBACK, 0, b"\x00\x01"))
    assert released == publication(3)  # one for one, where mosquitto 2.0.11 releases a whole window
    assert window.from_client(encode(Kind.PINGREQ, 0, b"")) == b""


def test_a_window_passes_everything_else_at_once() -> None:
    window = Window(1)
    window.from_broker(publication(1))
    acknowledgement = encode(Kind.SUBACK, 0, b"\x00\x01\x01")
    assert window.from_broker(publication(0, qos=0) + acknowledgement) == publication(0, qos=0) + acknowledgement
