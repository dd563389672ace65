"""Contract of what the functions send: acknowledgements, dead letters and deliveries."""

from __future__ import annotations

import json

from cloud_functions.core.errors import StoreError
from tests.integration.ports.cloud import CHANNEL_TYPES, Adapters, Cloud
from tests.integration.ports.conftest import Interruptions
from tests.integration.ports.faults import Fault
from wire.acknowledgement import Acknowledgement

SENT = Acknowledgement(2**64 - 1, 2**62, ((2**62 + 2, 2**62 + 9),)).encode()


def test_an_acknowledgement_reaches_its_gateway_unchanged(cloud: Cloud, adapters: Adapters) -> None:
    adapters.acknowledger.send("gw-1", SENT)
    adapters.acknowledger.send("site:gw_2", b"\x00\xff" + SENT)
    assert list(cloud.acknowledged()) == [("gw-1", SENT), ("site:gw_2", b"\x00\xff" + SENT)]


def test_a_repeated_acknowledgement_arrives_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    def check(adapters: Adapters, name: str) -> None:
        sent = list(interruptions.cloud.acknowledged())
        assert set(sent) == {(name, SENT)}
        assert 1 <= len(sent) <= 2

    interruptions.at_every_call(lambda adapters, name: adapters.acknowledger.send(name, SENT), check)


def test_a_refused_acknowledgement_is_a_store_error_or_repeated(cloud: Cloud, adapters: Adapters) -> None:
    cloud.faults.at(0, Fault.THROTTLED)
    try:
        adapters.acknowledger.send("gw-1", SENT)
    except StoreError:
        assert list(cloud.acknowledged()) == []
    else:
        assert list(cloud.acknowledged()) == [("gw-1", SENT)]


def test_a_dead_letter_is_kept_unchanged(cloud: Cloud, adapters: Adapters) -> None:
    body = json.dumps({"data": "AA==", "topic": "a/b", "text": "\u20ac <&> \U0001f600"}, ensure_ascii=False)
    attributes = {"reason": "codec", "detail": "a <detail> & \u20ac", "message_id": "m", "gateway": "gw-1"}
    adapters.dead_letters.keep(body, attributes)
    adapters.dead_letters.keep("not JSON", {"reason": "envelope", "gateway": ""})
    found = dict(cloud.kept())
    assert found.pop(body) == attributes
    assert found in ({"not JSON": {"reason": "envelope"}}, {"not JSON": {"reason": "envelope", "gateway": ""}})


def test_the_largest_batch_can_be_a_dead_letter(cloud: Cloud, adapters: Adapters) -> None:
    """A message of IoT Core has at most 128 KB, which is 171 KB in the envelope."""
    body = json.dumps({"data": "A" * 4 * (128_000 // 3)})
    adapters.dead_letters.keep(body, {"reason": "codec"})
    assert cloud.kept() == [(body, {"reason": "codec"})]


def test_a_dead_letter_is_kept_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    body = "x" * 100_000

    def check(adapters: Adapters, name: str) -> None:
        kept = interruptions.cloud.kept()
        assert {text for text, _ in kept} == {name + body}
        assert 1 <= len(kept) <= 2

    interruptions.at_every_call(
        lambda adapters, name: adapters.dead_letters.keep(name + body, {"reason": "codec"}), check
    )


def test_deliveries_are_queued_by_type_of_channel(cloud: Cloud, adapters: Adapters) -> None:
    bodies = [
        json.dumps({"channel": "mail", "n": n, "text": "\u20ac <&>" * (6_000 if n == 5 else 1)}) for n in range(25)
    ]
    adapters.outbox.put(CHANNEL_TYPES[0], bodies)
    adapters.outbox.put(CHANNEL_TYPES[1], bodies[:1])
    adapters.outbox.put(CHANNEL_TYPES[1], [])
    assert sorted(cloud.queued(CHANNEL_TYPES[0])) == sorted(bodies)
    assert cloud.queued(CHANNEL_TYPES[1]) == bodies[:1]


def test_all_deliveries_are_queued_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    def act(adapters: Adapters, name: str) -> None:
        adapters.outbox.put(CHANNEL_TYPES[0], [f"{name} {n}" for n in range(12)])

    def check(adapters: Adapters, name: str) -> None:
        assert set(interruptions.cloud.queued(CHANNEL_TYPES[0])) == {f"{name} {n}" for n in range(12)}

    interruptions.at_every_call(act, check)
