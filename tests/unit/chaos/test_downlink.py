"""Tests of the faults of acknowledgements on the downlink."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from device_sim.chaos.downlink import HOLD_SECONDS, AcknowledgementFault, Downlink
from device_sim.chaos.packets import Framer, Kind, Packet, encode, publish


def packets(*raws: bytes) -> list[Packet]:
    return list(Framer().feed(b"".join(raws)))


def ack(number: int) -> bytes:
    return publish("strandline/v1/gw/ack", str(number).encode())


OTHER = encode(Kind.PUBACK, 0, b"\x00\x01")


def run(treatment: AcknowledgementFault, *raws: bytes, delay_s: float = 0.0) -> list[bytes]:
    downlink = Downlink()
    for packet in packets(*raws):
        downlink.put(packet, treatment, delay_s, 0.0)
    first = downlink.take(0.0)
    last = downlink.take(1000.0)
    assert downlink.next_due() is None
    return [packet.raw for packet in packets(first, last)]


def test_untreated_packets_pass_in_order() -> None:
    assert run(AcknowledgementFault.NONE, ack(1), OTHER, ack(2)) == [ack(1), OTHER, ack(2)]


def test_a_lost_acknowledgement_is_dropped_and_others_are_delivered() -> None:
    assert run(AcknowledgementFault.LOSE, ack(1), OTHER, ack(2)) == [OTHER]


def test_a_duplicated_acknowledgement_is_delivered_twice() -> None:
    assert run(AcknowledgementFault.DOUBLE, ack(1), OTHER) == [ack(1), ack(1), OTHER]


def test_acknowledgements_overtake_one_another() -> None:
    assert run(AcknowledgementFault.REORDER, ack(1), OTHER, ack(2), ack(3)) == [OTHER, ack(2), ack(1), ack(3)]


def test_an_acknowledgement_without_a_successor_is_delivered_after_a_delay() -> None:
    downlink = Downlink()
    downlink.put(packets(ack(1))[0], AcknowledgementFault.REORDER, 0.0, 5.0)
    assert downlink.take(5.0) == b""
    assert downlink.next_due() == 5.0 + HOLD_SECONDS
    assert downlink.take(5.0 + HOLD_SECONDS) == ack(1)
    downlink.put(packets(ack(2))[0], AcknowledgementFault.REORDER, 0.0, 9.0)
    assert downlink.take(9.0) == b"", "the one before was released, so this one is held again"


def test_a_delayed_acknowledgement_does_not_delay_other_packets() -> None:
    assert run(AcknowledgementFault.DELAY, ack(1), OTHER, delay_s=2.0) == [OTHER, ack(1)]


@given(st.lists(st.tuples(st.sampled_from(AcknowledgementFault), st.booleans()), max_size=30))
def test_only_losing_loses_and_only_doubling_doubles(steps: list[tuple[AcknowledgementFault, bool]]) -> None:
    downlink, expected, came = Downlink(), Counter[bytes](), bytearray()
    for number, (treatment, is_ack) in enumerate(steps):
        raw = ack(number) if is_ack else publish("strandline/v1/gw/alerts", str(number).encode())
        times = {AcknowledgementFault.LOSE: 0, AcknowledgementFault.DOUBLE: 2}.get(treatment, 1) if is_ack else 1
        if times:
            expected[raw] = times
        downlink.put(packets(raw)[0], treatment, 1.5, float(number))
        came += downlink.take(float(number))
    came += downlink.take(1e9)
    assert Counter(packet.raw for packet in packets(bytes(came))) == expected
