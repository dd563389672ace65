"""Tests of the proof: it finds each kind of defect in rows and readings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device_sim.demo.proof import compare_counts, compare_rows
from wire.model import Aggregates, Series

RESOLUTION = {"a": 0.01, "b": 1.0}


def _rows(n: int = 6, names: tuple[str, ...] = ("a", "b")) -> Aggregates:
    index = np.arange(n, dtype=np.int64) % len(names)
    start = np.arange(n, dtype=np.int64) // len(names) * 1000
    value = 20.0 + np.arange(n)
    ones = np.ones(n)
    return Aggregates(
        tuple(Series(name) for name in names),
        index,
        start,
        np.full(n, 1000, np.int64),
        np.full(n, 5, np.int64),
        value,
        value - 1,
        value + 1,
        ones * 0.5,
        np.full(n, np.nan),
    )


def test_the_same_rows_in_another_order_and_directory_hold() -> None:
    made = _rows()
    stored = Aggregates.concatenate([made.take(np.array([5, 3, 1])).compact(), made.take(np.array([4, 2, 0]))])
    assert stored.series != made.series
    proof = compare_rows(made, stored, RESOLUTION)
    assert proof.holds
    assert (proof.made, proof.stored) == (6, 6)


def test_a_row_that_is_missing_is_lost_and_named() -> None:
    proof = compare_rows(_rows(), _rows().take(np.array([0, 1, 2, 4, 5])), RESOLUTION)
    assert (proof.lost, proof.duplicated, proof.unexpected, proof.different) == (1, 0, 0, 0)
    assert not proof.holds
    assert proof.examples[0].startswith("lost: b at 1000: count 5, mean 23")


def test_a_row_that_is_stored_twice_is_doubled_even_when_it_differs() -> None:
    stored = Aggregates.concatenate([_rows(), replace(_rows(), mean=_rows().mean + 5).take(slice(0, 1))])
    proof = compare_rows(_rows(), stored, RESOLUTION)
    assert (proof.lost, proof.duplicated, proof.unexpected, proof.different) == (0, 1, 0, 0)
    assert not proof.holds


def test_a_row_that_was_not_made_is_unexpected() -> None:
    proof = compare_rows(_rows(4), _rows(6), RESOLUTION)
    assert (proof.lost, proof.duplicated, proof.unexpected, proof.different) == (0, 0, 2, 0)
    assert not proof.holds


def test_the_same_series_and_start_with_another_width_is_another_row() -> None:
    proof = compare_rows(_rows(), replace(_rows(), width_ms=_rows().width_ms * 60), RESOLUTION)
    assert (proof.lost, proof.unexpected) == (6, 6)


@pytest.mark.parametrize(
    ("column", "off", "holds"),
    [
        ("count", 1, False),
        ("mean", 0.0009, True),
        ("mean", 0.0011, False),
        ("min", 0.001, False),
        ("max", 0.01, False),
        ("std", 0.012, True),
        ("std", 0.013, False),
    ],
)
def test_values_may_differ_by_the_precision_of_the_wire_format_only(column: str, off: float, holds: bool) -> None:
    column_off = getattr(_rows(), column).copy()
    column_off[2] += off  # a row of series a, whose resolution is 0.01
    proof = compare_rows(_rows(), replace(_rows(), **{column: column_off}), RESOLUTION)
    assert proof.holds is holds
    assert proof.different == (not holds)


def test_no_rows_at_all_compare_too() -> None:
    nothing = _rows().take(slice(0, 0))
    assert compare_rows(nothing, nothing, RESOLUTION).holds
    assert compare_rows(_rows(), nothing, RESOLUTION).lost == 6
    assert compare_rows(nothing, _rows(), RESOLUTION).unexpected == 6


SENT = {("a", 0): 5, ("a", 1000): 5, ("b", 0): 5, ("b", 1000): 5}


def test_counts_that_agree_window_by_window_hold_and_other_series_do_not_matter() -> None:
    proof = compare_counts(SENT, _rows(6, ("a", "b", "host.cpu")), 0)
    assert (proof.sent, proof.stored, proof.missing) == (20, 20, 0)
    assert proof.holds


def test_readings_that_nothing_accounts_for_are_missing() -> None:
    proof = compare_counts(SENT, _rows(3), 0)
    assert proof.missing == 5
    assert proof.windows_under == 1
    assert not proof.holds
    assert proof.examples == ("b at 1000: sent 5, stored 0",)


def test_readings_that_the_gateway_counted_as_dropped_are_accounted_for() -> None:
    assert compare_counts(SENT, _rows(3), 5).holds
    assert not compare_counts(SENT, _rows(3), 4).holds
    assert not compare_counts(SENT, _rows(4), 1).holds


def test_readings_in_the_wrong_window_do_not_make_up_for_those_lost_in_another() -> None:
    count = np.array([5, 5, 4, 6])
    proof = compare_counts(SENT, replace(_rows(4), count=count), 0)
    assert proof.missing == 0
    assert (proof.windows_over, proof.windows_under) == (1, 1)
    assert not proof.holds


def test_a_mean_may_be_off_by_the_precision_of_a_step_that_the_wire_had_to_find() -> None:
    made = _rows()  # the minimum and maximum of each row are whole numbers
    assert compare_rows(made, replace(made, mean=made.mean + 0.09), {}).holds
    assert compare_rows(made, replace(made, mean=made.mean + 0.3), {}).different == 6
    assert compare_rows(made, replace(made, min=made.min + 0.1), {}).different == 6
