"""Limits of an acknowledgement: its version, and its number of ranges."""

from __future__ import annotations

import json

import pytest

from wire.acknowledgement import MAX_RANGES, Acknowledgement, SequenceSet
from wire.errors import FormatError


def encoded(ranges: int, version: object = 1) -> bytes:
    """Return an acknowledgement with a number of ranges of one sequence number each."""
    body = {"v": version, "epoch": "05", "cumulative": 1, "ranges": [[2 * n, 2 * n] for n in range(2, 2 + ranges)]}
    return json.dumps(body).encode()


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_rejected_with_its_number(version: object) -> None:
    with pytest.raises(FormatError, match=f"version {version!r} is not 1"):
        Acknowledgement.decode(encoded(1, version))


def test_the_maximum_number_of_ranges_is_accepted_and_one_more_is_rejected() -> None:
    assert len(Acknowledgement.decode(encoded(MAX_RANGES)).ranges) == MAX_RANGES
    with pytest.raises(FormatError, match=f"{MAX_RANGES + 1} ranges, at most {MAX_RANGES}"):
        Acknowledgement.decode(encoded(MAX_RANGES + 1))


def test_the_newest_ranges_are_encoded_if_there_are_too_many() -> None:
    ranges = tuple((2 * n, 2 * n) for n in range(2, 4 + MAX_RANGES))
    assert Acknowledgement.decode(Acknowledgement(5, 1, ranges).encode()).ranges == ranges[-MAX_RANGES:]


def test_a_number_between_or_beside_ranges_extends_them() -> None:
    held = SequenceSet()
    for number, ranges in ((5, ((5, 5),)), (6, ((5, 6),)), (7, ((5, 7),)), (9, ((5, 7), (9, 9))), (8, ((5, 9),))):
        assert held.add(number)
        assert held.ranges == ranges
    assert held.add(4)
    assert (held.cumulative, held.ranges) == (0, ((4, 9),))
