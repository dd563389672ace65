"""What is held of an epoch, under optimistic writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core import keys
from cloud_functions.core.errors import ConflictError
from cloud_functions.core.received_sequences import ATTEMPTS, MAX_KEPT_RANGES, ReceivedSequences, received_of
from tests.unit.cloud.fakes import NOW_MS, FakeTable


def received(table: FakeTable, at_ms: int = NOW_MS) -> ReceivedSequences:
    return ReceivedSequences(table, lambda: at_ms)


@given(st.lists(st.lists(st.integers(1, 40), max_size=8), max_size=20))
def test_what_was_added_is_held_whatever_the_order(groups: list[list[int]]) -> None:
    table, wanted = FakeTable(), set[int]()
    for group in groups:
        wanted.update(group)
        held = received(table).add("gw-1", 7, group)
        assert {n for n in range(1, 41) if n in held} == wanted
    assert {n for n in range(1, 41) if n in received_of(next(iter(table.items.values()), None))} == wanted


def test_what_is_held_already_costs_no_write() -> None:
    table = FakeTable()
    received(table).add("gw-1", 7, [1, 2])
    written = len(table.stream)
    assert received(table).add("gw-1", 7, [2, 1]).cumulative == 2
    assert len(table.stream) == written


def test_two_who_add_at_once_lose_nothing_of_each_other() -> None:
    table = FakeTable()

    def other() -> None:
        table.before_replace = None
        received(table).add("gw-1", 7, [2])

    table.before_replace = other
    assert received(table).add("gw-1", 7, [1]).cumulative == 2


def test_one_who_always_loses_gives_up_with_a_conflict() -> None:
    table, others = FakeTable(), iter(range(2, 100))

    def other() -> None:
        hook, table.before_replace = table.before_replace, None
        received(table).add("gw-1", 7, [next(others) * 2])
        table.before_replace = hook

    table.before_replace = other
    with pytest.raises(ConflictError, match=f"changed by others {ATTEMPTS} times"):
        received(table).add("gw-1", 7, [1])


def test_epochs_and_gateways_are_held_apart() -> None:
    table = FakeTable()
    received(table).add("gw-1", 7, [1])
    assert received(table).add("gw-1", 8, [2]).cumulative == 0
    assert received(table).add("gw-2", 7, [2]).cumulative == 0


def test_an_item_keeps_the_newest_ranges_only() -> None:
    table = FakeTable()
    received(table).add("gw-1", 7, range(2, 2 * MAX_KEPT_RANGES + 200, 2))
    held = received_of(next(iter(table.items.values())))
    assert len(held.ranges) == MAX_KEPT_RANGES
    assert 2 * MAX_KEPT_RANGES + 198 in held


def test_a_gap_counts_from_when_its_lowest_number_began_to_be_missing() -> None:
    table = FakeTable()
    for at, sequence, since in ((10, 1, None), (20, 3, 20), (30, 6, 20), (40, 2, 40), (50, 4, 50), (60, 5, None)):
        received(table, at).add("gw-1", 7, [sequence])
        (item,) = table.items.values()
        assert item.get("gap_since_ms") == since
    assert (item["first_ms"], item["changed_ms"], item["cumulative"]) == (10, 60, 6)


def test_what_an_older_version_kept_goes_on_as_a_gap_from_now() -> None:
    table = FakeTable()
    key = keys.acknowledgement("gw-1", 7)
    table.items[key] = {**key._asdict(), "kind": "ack", "cumulative": 1, "ranges": "[[3,3]]", "version": 4}
    assert received(table, 20).add("gw-1", 7, [4]).highest == 4
    assert (table.items[key]["gap_since_ms"], table.items[key]["first_ms"]) == (20, 20)
