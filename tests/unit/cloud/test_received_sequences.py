"""Received sequences of an epoch, with optimistic concurrency control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core import keys
from cloud_functions.core.errors import ConflictError
from cloud_functions.core.ports import Item, Key
from cloud_functions.core.received_sequences import (
    ATTEMPTS,
    MAX_KEPT_RANGES,
    Received,
    ReceivedSequences,
    received_of,
)
from tests.unit.cloud.fakes import NOW_MS, FakeTable
from wire.acknowledgement import SequenceSet


def add(
    table: FakeTable, sequences: Iterable[int], at_ms: int = NOW_MS, epoch: int = 7, gateway: str = "gw-1"
) -> SequenceSet:
    batches = Received({sequence: {"batches": 1} for sequence in sequences})
    return ReceivedSequences(table, lambda: at_ms).add(gateway, epoch, batches)


@given(st.lists(st.lists(st.integers(1, 40), max_size=8), max_size=20))
def test_added_sequences_are_stored_in_any_order(groups: list[list[int]]) -> None:
    table, wanted = FakeTable(), set[int]()
    for group in groups:
        wanted.update(group)
        held = add(table, group)
        assert {n for n in range(1, 41) if n in held} == wanted
    assert {n for n in range(1, 41) if n in received_of(next(iter(table.items.values()), None))} == wanted


def test_a_recorded_sequence_is_counted_once_and_its_repetitions_are_events() -> None:
    table = FakeTable()
    add(table, [1, 2])
    again = Received({2: {"batches": 1}, 1: {"batches": 1}}, Counter({"duplicates": 2}), seen_ms=5)
    assert ReceivedSequences(table, lambda: NOW_MS).add("gw-1", 7, again).cumulative == 2
    (item,) = table.items.values()
    assert (item["batches"], item["duplicates"], item["seen_ms"]) == (2, 2, 5)


def test_an_invocation_without_accepted_batches_writes_nothing() -> None:
    table = FakeTable()
    assert add(table, []).cumulative == 0
    assert table.items == {}


def test_concurrent_additions_are_both_stored() -> None:
    table = FakeTable()

    def other() -> None:
        table.before_replace = None
        add(table, [2])

    table.before_replace = other
    assert add(table, [1]).cumulative == 2


def test_a_permanent_conflict_is_raised() -> None:
    table, others = FakeTable(), iter(range(2, 100))

    def other() -> None:
        hook, table.before_replace = table.before_replace, None
        add(table, [next(others) * 2])
        table.before_replace = hook

    table.before_replace = other
    with pytest.raises(ConflictError, match=f"changed by others {ATTEMPTS} times"):
        add(table, [1])


@pytest.mark.parametrize("outdated", ["missing", "older"])
def test_an_outdated_read_is_repeated_and_loses_nothing(outdated: str) -> None:
    table, key = FakeTable(), keys.acknowledgement("gw-1", 7)
    add(table, [1])
    older = dict(table.items[key])
    add(table, [2])
    table.outdated = {key: older}
    sequences = ReceivedSequences(table, lambda: NOW_MS)
    known = sequences.read([("gw-1", 7)]) if outdated == "older" else {}
    assert sequences.add("gw-1", 7, Received({3: {"batches": 1}}), known).cumulative == 3
    assert table.items[key]["batches"] == 3


def test_epochs_and_gateways_are_stored_separately() -> None:
    table = FakeTable()
    add(table, [1])
    assert add(table, [2], epoch=8).cumulative == 0
    assert add(table, [2], gateway="gw-2").cumulative == 0


def test_an_item_keeps_the_newest_ranges_only() -> None:
    table = FakeTable()
    add(table, range(2, 2 * MAX_KEPT_RANGES + 200, 2))
    held = received_of(next(iter(table.items.values())))
    assert len(held.ranges) == MAX_KEPT_RANGES
    assert 2 * MAX_KEPT_RANGES + 198 in held


def test_the_age_of_a_gap_is_that_of_its_lowest_number() -> None:
    table = FakeTable()
    for at, sequence, since in ((10, 1, None), (20, 3, 20), (30, 6, 20), (40, 2, 40), (50, 4, 50), (60, 5, None)):
        add(table, [sequence], at)
        (item,) = table.items.values()
        assert item.get("gap_since_ms") == since
    assert (item["first_ms"], item["changed_ms"], item["cumulative"]) == (10, 60, 6)


def test_a_gap_stored_by_an_older_version_begins_now() -> None:
    table = FakeTable()
    key = keys.acknowledgement("gw-1", 7)
    table.items[key] = {**key._asdict(), "kind": "ack", "cumulative": 1, "ranges": "[[3,3]]", "version": 4}
    assert add(table, [4], 20).highest == 4
    assert (table.items[key]["gap_since_ms"], table.items[key]["first_ms"]) == (20, 20)


def test_a_known_item_saves_the_read_and_that_of_another_epoch_is_not_used() -> None:
    class Reads(FakeTable):
        read: ClassVar[list[Key]] = []

        def get(self, key: Key) -> Item | None:
            self.read.append(key)
            return super().get(key)

    table = Reads()
    add(table, [1], epoch=7)
    add(table, [1], epoch=8)
    sequences = ReceivedSequences(table, lambda: NOW_MS)
    known = sequences.read([("gw-1", 8)])
    table.read.clear()
    assert sequences.add("gw-1", 8, Received({2: {"batches": 1}}), known).cumulative == 2
    assert table.read == []
    assert sequences.add("gw-1", 7, Received({3: {"batches": 1}}), known).ranges == ((3, 3),)
    assert table.read == [keys.acknowledgement("gw-1", 7)]
