"""Acknowledgements: exact for any order of arrival; arbitrary bytes give an acknowledgement or a FormatError."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.acknowledgement import MAX_RANGES, MAX_UNKNOWN, Acknowledgement, SequenceSet
from wire.errors import FormatError, ModelError
from wire.model import MAX_SEQUENCE

sequences = st.lists(st.one_of(st.integers(1, 60), st.integers(1, MAX_SEQUENCE)), max_size=80)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)


@given(sequences)
def test_a_sequence_set_holds_exactly_what_was_added(numbers: list[int]) -> None:
    held, model = SequenceSet(), set[int]()
    for number in numbers:
        assert held.add(number) is (number not in model)
        model.add(number)
    assert all(number in held for number in model)
    edges = {n + d for n in model for d in (-1, 1)} - model
    assert not any(number in held for number in edges if number > 0)
    above = [n for first, last in held.ranges for n in (first, last)]
    assert above == sorted(above)
    assert all(first > held.cumulative + 1 for first, _ in held.ranges)


@given(sequences)
def test_missing_and_held_sequences_are_complements(numbers: list[int]) -> None:
    held = SequenceSet()
    for number in numbers:
        held.add(number)
    spans = sorted([(1, held.cumulative), *held.ranges, *held.missing()])
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(spans))
    assert SequenceSet(held.cumulative, held.ranges).ranges == held.ranges


@given(sequences, st.integers(0, 2**64 - 1))
def test_an_acknowledgement_is_encoded_and_decoded_unchanged(numbers: list[int], epoch: int) -> None:
    held = SequenceSet()
    for number in numbers:
        held.add(number)
    ack = held.acknowledgement(epoch)
    assert Acknowledgement.decode(ack.encode()) == ack
    covered = {n for n in numbers if ack.covers(n)}
    assert covered <= set(numbers)
    assert covered == set(numbers) or len(held.ranges) > MAX_RANGES


@given(st.lists(st.integers(0, 2**32 - 1), max_size=MAX_UNKNOWN))
def test_requested_profiles_are_encoded_only_if_there_are_any(
    versions: list[int],
) -> None:
    ack = Acknowledgement(5, 3, (), tuple(versions))
    assert Acknowledgement.decode(ack.encode()) == ack
    assert (b"unknown_profiles" in ack.encode()) is bool(versions)


@pytest.mark.parametrize("versions", [[-1], [2**32], ["1"], [1.0], [True], 5, None, list(range(17))])
def test_invalid_versions_are_rejected(versions: object) -> None:
    body = {"v": 1, "epoch": "ff", "cumulative": 3, "ranges": [], "unknown_profiles": versions}
    with pytest.raises(FormatError):
        Acknowledgement.decode(json.dumps(body).encode())


@given(st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()))
def test_any_bytes_give_an_acknowledgement_or_a_format_error(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        Acknowledgement.decode(data)


@given(st.sampled_from(["v", "epoch", "cumulative", "ranges", "unknown_profiles"]), json_values)
def test_any_value_of_any_key_gives_an_acknowledgement_or_a_format_error(key: str, value: object) -> None:
    body = {"v": 1, "epoch": "ff", "cumulative": 3, "ranges": [[5, 6]]} | {key: value}
    with contextlib.suppress(FormatError):
        ack = Acknowledgement.decode(json.dumps(body).encode())
        assert Acknowledgement.decode(ack.encode()) == ack


@pytest.mark.parametrize(
    "ranges", [[[5, 4]], [[2, 4]], [[3, 4]], [[5, 9], [9, 12]], [[7, 8], [5, 5]], [[5, 6]] * 2, [[4.0, 5]], [[5]]]
)
def test_ranges_that_do_not_ascend_above_the_cumulative_number_are_rejected(ranges: object) -> None:
    body = {"v": 1, "epoch": "ff", "cumulative": 3, "ranges": ranges}
    with pytest.raises(FormatError):
        Acknowledgement.decode(json.dumps(body).encode())


@pytest.mark.parametrize("sequence", [0, -1, MAX_SEQUENCE + 1])
def test_an_invalid_sequence_number_is_rejected(sequence: int) -> None:
    with pytest.raises(ModelError):
        SequenceSet().add(sequence)
