"""What is held of an epoch, under optimistic writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core.errors import ConflictError
from cloud_functions.core.holdings import ATTEMPTS, MAX_KEPT_RANGES, Holdings, held_of
from tests.unit.cloud.fakes import FakeTable


@given(st.lists(st.lists(st.integers(1, 40), max_size=8), max_size=20))
def test_what_was_added_is_held_whatever_the_order(groups: list[list[int]]) -> None:
    table, wanted = FakeTable(), set[int]()
    for group in groups:
        wanted.update(group)
        held = Holdings(table).add("gw-1", 7, group)
        assert {n for n in range(1, 41) if n in held} == wanted
    assert {n for n in range(1, 41) if n in held_of(next(iter(table.items.values()), None))} == wanted


def test_what_is_held_already_costs_no_write() -> None:
    table = FakeTable()
    Holdings(table).add("gw-1", 7, [1, 2])
    written = len(table.stream)
    assert Holdings(table).add("gw-1", 7, [2, 1]).cumulative == 2
    assert len(table.stream) == written


def test_two_who_add_at_once_lose_nothing_of_each_other() -> None:
    table = FakeTable()

    def other() -> None:
        table.before_replace = None
        Holdings(table).add("gw-1", 7, [2])

    table.before_replace = other
    assert Holdings(table).add("gw-1", 7, [1]).cumulative == 2


def test_one_who_always_loses_gives_up_with_a_conflict() -> None:
    table, others = FakeTable(), iter(range(2, 100))

    def other() -> None:
        hook, table.before_replace = table.before_replace, None
        Holdings(table).add("gw-1", 7, [next(others) * 2])
        table.before_replace = hook

    table.before_replace = other
    with pytest.raises(ConflictError, match=f"changed by others {ATTEMPTS} times"):
        Holdings(table).add("gw-1", 7, [1])


def test_epochs_and_gateways_are_held_apart() -> None:
    table = FakeTable()
    Holdings(table).add("gw-1", 7, [1])
    assert Holdings(table).add("gw-1", 8, [2]).cumulative == 0
    assert Holdings(table).add("gw-2", 7, [2]).cumulative == 0


def test_an_item_keeps_the_newest_ranges_only() -> None:
    table = FakeTable()
    Holdings(table).add("gw-1", 7, range(2, 2 * MAX_KEPT_RANGES + 200, 2))
    held = held_of(next(iter(table.items.values())))
    assert len(held.ranges) == MAX_KEPT_RANGES
    assert 2 * MAX_KEPT_RANGES + 198 in held
