"""Tests of the proof: it identifies every missing and every duplicated reading."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.chaos.numbering import CYCLE, Numbering
from device_sim.chaos.proof import Proof, prove
from edge_components.forwarder.spool.coarsening import coarsen
from tests.examples import examples
from wire.model import Aggregates, IntArray, Series

NUMBERING = Numbering(period_ms=125, width_ms=1000)
FIRST = NUMBERING.number(1_700_000_000_000)
NAME = "chaos.a"


def aggregate(numbers: Counter[int], parts: int = 1) -> Aggregates:
    """Return the stored aggregates of readings, with each window in up to ``parts`` rows."""
    rows: list[tuple[int, list[float]]] = []
    windows: dict[int, list[int]] = {}
    for number in sorted(numbers.elements()):
        windows.setdefault(int(NUMBERING.windows(np.array([number]))[0]), []).append(number)
    for start, members in windows.items():
        for part in range(parts):
            values = [float(NUMBERING.value(n)) for n in members[part::parts]]
            if values:
                rows.append((start, values))
    n = len(rows)
    return Aggregates(
        (Series(NAME, "", 1.0),),
        np.zeros(n, np.int64),
        np.array([start for start, _ in rows], np.int64),
        np.full(n, NUMBERING.width_ms, np.int64),
        np.array([len(values) for _, values in rows], np.int64),
        np.array([round(float(np.mean(values)) * 10) / 10 for _, values in rows], np.float64),
        np.array([min(values) for _, values in rows], np.float64),
        np.array([max(values) for _, values in rows], np.float64),
        np.array([float(np.std(values)) for _, values in rows], np.float64),
        np.full(n, np.nan),
    )


def sent(numbers: Counter[int]) -> dict[str, IntArray]:
    return {NAME: np.array(sorted(numbers), np.int64)}


def check(truth: Counter[int], stored: Aggregates) -> Proof:
    return prove(sent(truth), stored, NUMBERING)


TRUTHS = st.sets(st.integers(FIRST, FIRST + 90), min_size=1, max_size=80).map(lambda ns: Counter(dict.fromkeys(ns, 1)))


@given(TRUTHS, st.integers(1, 3), st.sampled_from([1, 4]))
def test_complete_readings_are_proven_for_any_split_and_merged_rows(
    truth: Counter[int], parts: int, factor: int
) -> None:
    proof = check(truth, coarsen(aggregate(truth, parts), factor))
    assert proof.complete, [str(span) for span in proof.spans]
    assert proof.readings_stored == proof.readings_sent == len(truth)


@given(TRUTHS, st.data(), st.integers(1, 3), st.sampled_from([1, 4]))
def test_any_single_lost_reading_is_named(truth: Counter[int], data: st.DataObject, parts: int, factor: int) -> None:
    gone = data.draw(st.sampled_from(sorted(truth)))
    proof = check(truth, coarsen(aggregate(truth - Counter([gone]), parts), factor))
    assert [number for span in proof.spans for number in span.missing] == [gone]
    assert (proof.missing, proof.duplicated, proof.unexplained) == (1, 0, 0)


@given(TRUTHS, st.data(), st.integers(1, 3), st.sampled_from([1, 4]))
def test_any_single_doubled_reading_is_named(truth: Counter[int], data: st.DataObject, parts: int, factor: int) -> None:
    again = data.draw(st.sampled_from(sorted(truth)))
    proof = check(truth, coarsen(aggregate(truth + Counter([again]), parts), factor))
    assert [number for span in proof.spans for number in span.doubled] == [again]
    assert (proof.missing, proof.duplicated, proof.unexplained) == (0, 1, 0)


@pytest.mark.slow
@settings(max_examples=examples(100))
@given(TRUTHS, st.lists(st.integers(0, 3), min_size=91, max_size=91), st.sampled_from([1, 4]))
def test_no_mixture_of_losses_and_repetitions_cancels_out(truth: Counter[int], times: list[int], factor: int) -> None:
    stored = Counter({number: times[number - FIRST] for number in truth})
    proof = check(truth, coarsen(aggregate(+stored), factor))
    assert proof.complete == (stored == truth)
    assert sum(len(s.doubled) - len(s.missing) for s in proof.spans) == stored.total() - len(truth)


@given(st.sets(st.integers(FIRST, FIRST + 31), min_size=2, max_size=32), st.data())
def test_one_reading_lost_and_another_doubled_in_its_place_are_both_named(
    numbers: set[int], data: st.DataObject
) -> None:
    truth = Counter(dict.fromkeys(numbers, 1))
    gone = data.draw(st.sampled_from(sorted(numbers)))
    again = data.draw(st.sampled_from(sorted(numbers - {gone})))
    proof = check(truth, coarsen(aggregate(truth - Counter([gone]) + Counter([again])), 4))
    assert not proof.complete
    assert (proof.missing, proof.duplicated) == (1, 1)


def test_rows_stored_twice_are_reported_as_duplicates() -> None:
    truth = Counter(range(FIRST, FIRST + 24))
    rows = aggregate(truth)
    proof = check(truth, Aggregates.concatenate([rows, rows]))
    assert (proof.missing, proof.duplicated) == (0, 24)
    assert (proof.rows_expected, proof.rows_stored) == (3, 6)


def test_a_revision_replaces_the_row_before_it_and_a_row_twice_is_still_doubled() -> None:
    truth = Counter(range(100, 140))
    rows = aggregate(truth)
    first = replace(rows, count=rows.count - 1)
    revised = replace(rows, revision=np.ones(len(rows), np.int64))
    assert check(truth, Aggregates.concatenate([revised, first])).complete
    assert not check(truth, Aggregates.concatenate([revised, revised])).complete


def test_a_window_without_readings_is_reported_as_empty() -> None:
    truth = Counter(range(FIRST, FIRST + 24))
    rows = aggregate(truth)
    proof = check(truth, rows.take(slice(1, None)))
    assert [span.empty for span in proof.spans] == [(int(rows.start_ms[0]),)]
    assert proof.missing == 8


def test_nothing_stored_at_all_is_all_missing() -> None:
    truth = Counter(range(FIRST, FIRST + 24))
    proof = check(truth, aggregate(truth).take(slice(0, 0)))
    assert (proof.missing, proof.rows_stored) == (24, 0)


def test_a_reading_that_was_never_sent_counts_as_doubled() -> None:
    truth = Counter(range(FIRST, FIRST + 8))
    proof = check(truth, aggregate(truth + Counter([FIRST + 40])))
    assert (proof.missing, proof.duplicated) == (0, 1)


def test_values_that_were_not_sent_are_not_explained() -> None:
    truth = Counter(range(FIRST, FIRST + 8))
    rows = aggregate(truth)
    proof = check(truth, replace(rows, mean=rows.mean + 1.0))
    assert proof.unexplained == 1
    assert not proof.complete


def test_a_minimum_that_was_not_sent_is_not_explained() -> None:
    truth = Counter(range(FIRST, FIRST + 8))
    rows = aggregate(truth)
    assert check(truth, replace(rows, min=rows.min + 1)).unexplained == 1


def test_rows_of_other_series_and_rows_without_readings_change_nothing() -> None:
    truth = Counter(range(FIRST, FIRST + 8))
    rows = aggregate(truth)
    silent = Aggregates(rows.series, rows.series_index, rows.start_ms, rows.width_ms, rows.count * 0,
                        rows.mean * np.nan, rows.min * np.nan, rows.max * np.nan, rows.std, rows.score)  # fmt: skip
    other = Aggregates((Series("host.cpu"),), *(getattr(rows, n) for n in (
        "series_index", "start_ms", "width_ms", "count", "mean", "min", "max", "std", "score")))  # fmt: skip
    assert check(truth, Aggregates.concatenate([rows, silent, other])).complete


def test_a_window_of_more_readings_than_the_cycle_is_rejected() -> None:
    with pytest.raises(ValueError, match="repeat"):
        Numbering(period_ms=10, width_ms=10 * (CYCLE + 1))
