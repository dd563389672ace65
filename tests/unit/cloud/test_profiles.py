"""Profiles in the cloud: batches with an unknown profile are requested again, and never lost or decoded incorrectly."""

from __future__ import annotations

import base64
import json

import pytest

from cloud_functions.core import keys
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.received_sequences import counts_of
from tests.unit.cloud.fakes import NOW_MS, CrashError, FakeTable, aggregates, body
from tests.unit.cloud.test_ingest import Site
from wire import codec, profile, topics
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates, Batch

KNOWN = profile.learn(aggregates(1))
VERSION = KNOWN.version
ROWS = aggregates(2)
PROFILE = codec.encode_profile("gw-1", 7, 1, KNOWN)
SHORT = codec.seal("gw-1", 7, 2, min(codec._pack_known(ROWS, KNOWN), key=len))
WHOLE = codec.encode(Batch("gw-1", 7, 2, ROWS))
ASKED = Acknowledgement(7, 0, (), (VERSION,))


def sent(data: bytes, gateway: str = "gw-1", received_at: int = NOW_MS) -> str:
    topic = topics.ingest(gateway, topics.Lane.BULK).split("/", 3)[3]
    fields = {"data": base64.b64encode(data).decode(), "topic": topic, "client": gateway, "received_at": received_at}
    return json.dumps(fields)


def figures(site: Site) -> dict[str, object]:
    about = next(iter(site.table.of_kind("about")), {})
    return {**about, **counts_of(next(iter(site.table.of_kind("ack")), None))}


def same(left: Aggregates, right: Aggregates) -> bool:
    return sorted(left.mean.tolist()) == sorted(right.mean.tolist())


def test_a_profile_is_stored_acknowledged_and_used() -> None:
    site = Site()
    assert site.deliver(sent(PROFILE)) == []
    assert site.deliver(sent(SHORT)) == []
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1)), ("gw-1", Acknowledgement(7, 2))]
    assert same(site.rows("gw-1"), ROWS)
    assert figures(site)["profiles"] == 1
    (item,) = site.table.of_kind("profile")
    assert int(item["expires_at"]) > NOW_MS // 1000
    assert [receipt["holds"] for receipt in site.table.of_kind("batch")] == ["profile", "aggregates"]


def test_an_unknown_profile_is_requested_and_its_batch_is_not_a_dead_letter() -> None:
    site = Site()
    assert site.deliver(sent(SHORT, received_at=NOW_MS - 5_000)) == []
    assert site.acks.sent == [("gw-1", ASKED)]
    assert figures(site)["seen_ms"] == NOW_MS - 5_000
    assert site.letters.kept == []
    assert site.table.of_kind("batch") == []
    assert figures(site)["unknown_profiles"] == 1


def test_a_batch_before_its_profile_is_stored_when_it_is_retransmitted() -> None:
    site = Site()
    site.deliver(sent(SHORT), sent(PROFILE))
    assert site.acks.sent == [("gw-1", Acknowledgement(7, 1, (), (VERSION,)))]
    site.deliver(sent(SHORT))
    assert site.acks.sent[-1] == ("gw-1", Acknowledgement(7, 2))
    assert same(site.rows("gw-1"), ROWS)


@pytest.mark.parametrize(("first", "second"), [(SHORT, WHOLE), (WHOLE, SHORT)])
def test_a_batch_with_and_without_profile_is_stored_once(first: bytes, second: bytes) -> None:
    site = Site()
    site.deliver(sent(PROFILE))
    site.deliver(sent(first))
    records = site.table.of_kind("batch")
    site.deliver(sent(second))
    assert site.table.of_kind("batch") == records
    assert site.letters.kept == []
    assert figures(site)["duplicates"] == 1


def test_other_rows_with_a_stored_name_are_rejected_also_with_a_profile() -> None:
    site = Site()
    site.deliver(sent(PROFILE), body(Batch("gw-1", 7, 2, aggregates(3))))
    site.deliver(sent(SHORT))
    assert [letter["reason"] for _, letter in site.letters.kept] == ["different"]


def test_a_repeated_batch_is_recognised_after_its_profile_was_deleted() -> None:
    site = Site()
    site.deliver(sent(PROFILE), sent(SHORT))
    del site.table.items[keys.profile("gw-1", VERSION)]
    site.restart()
    site.deliver(sent(SHORT))
    assert site.acks.sent[-1] == ("gw-1", Acknowledgement(7, 2))
    assert figures(site)["duplicates"] == 1


def test_a_profile_is_stored_after_a_crash_during_its_write() -> None:
    site = Site()
    site.table.writes_left = 0
    with pytest.raises(CrashError):
        site.deliver(sent(PROFILE))
    site.table.writes_left = None
    site.deliver(sent(PROFILE))
    site.deliver(sent(SHORT))
    assert site.acks.sent[-1] == ("gw-1", Acknowledgement(7, 2))


def test_a_batch_is_retried_while_the_table_cannot_be_read() -> None:
    site = Site()
    site.table.refuse = lambda key: key.pk == "profiles#gw-1"
    assert site.deliver(sent(SHORT)) == ["0"]
    assert site.acks.sent == []


def test_a_profile_damaged_in_the_table_is_requested_again_and_replaced() -> None:
    site = Site()
    site.deliver(sent(PROFILE))
    key = keys.profile("gw-1", VERSION)
    site.table.items[key]["body"] = PROFILE[:-1] + b"!"
    site.deliver(sent(SHORT))
    assert site.acks.sent[-1][1].unknown == (VERSION,)
    site.deliver(sent(PROFILE))
    site.deliver(sent(SHORT))
    assert same(site.rows("gw-1"), ROWS)


def test_a_profile_damaged_in_transit_becomes_a_dead_letter() -> None:
    site = Site()
    site.deliver(sent(PROFILE[:40] + b"!" + PROFILE[41:]))
    assert site.letters.kept[0][1]["reason"] == "codec"
    assert site.table.of_kind("profile") == []


def test_a_different_profile_with_a_known_version_is_rejected_and_requested_again() -> None:
    site = Site()
    site.deliver(sent(PROFILE))
    other = codec.encode_profile("gw-1", 7, 3, profile.learn(aggregates(5), VERSION))
    site.deliver(sent(other))
    assert site.acks.sent[-1] == ("gw-1", Acknowledgement(7, 1, ((3, 3),), (VERSION,)))
    assert site.letters.kept[0][1]["reason"] == "different"
    site.deliver(sent(SHORT))
    assert same(site.rows("gw-1"), ROWS)


def test_a_redriven_dead_letter_without_its_profile_is_a_dead_letter_again() -> None:
    site = Site()
    site.deliver(sent(PROFILE), body(Batch("gw-1", 7, 2, aggregates(3))))
    site.deliver(sent(SHORT))  # different rows with that name become a dead letter and are acknowledged
    site.table.items = {k: v for k, v in site.table.items.items() if k.pk not in ("profiles#gw-1", "batches#gw-1")}
    site.restart()
    site.deliver(site.letters.kept[0][0])
    assert [letter["reason"] for _, letter in site.letters.kept] == ["different", "profile"]
    assert site.acks.sent[-1] == ("gw-1", Acknowledgement(7, 2))


def test_the_profile_of_another_gateway_is_not_used() -> None:
    site = Site()
    site.deliver(sent(PROFILE))
    site.deliver(sent(codec.seal("gw-2", 7, 2, min(codec._pack_known(ROWS, KNOWN), key=len)), "gw-2"))
    assert site.acks.sent[-1] == ("gw-2", ASKED)
    site.deliver(sent(PROFILE, "gw-2"))
    assert site.letters.kept[0][1]["reason"] == "gateway"


def test_a_worker_reads_a_profile_once() -> None:
    table = FakeTable()
    site = Site(table)
    site.deliver(sent(PROFILE))
    found = Profiles(table, lambda: NOW_MS)
    assert found.find("gw-1", VERSION) == KNOWN
    table.items.clear()
    assert found.find("gw-1", VERSION) == KNOWN
    assert found.find("gw-1", VERSION + 1) is None
