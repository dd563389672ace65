"""A reading that comes again is known, however much came between, until its window is closed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_components.aggregator import recent as module
from edge_components.aggregator.recent import Recent
from wire.model import FloatArray, IntArray

Row = tuple[int, int, float]
rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20), st.sampled_from([0.0, -0.0, 1.5, -1.5])), max_size=30)


def columns(given_rows: list[Row]) -> tuple[IntArray, IntArray, FloatArray]:
    place, time_ms, value = zip(*given_rows, strict=True) if given_rows else ((), (), ())
    return np.array(place, np.int64), np.array(time_ms, np.int64), np.array(value, np.float64)


@given(st.lists(rows, max_size=12))
def test_only_what_was_not_taken_before_is_new(batches: list[list[Row]]) -> None:
    recent, taken = Recent(), set()
    for batch in batches:
        expected = []
        for row in batch:
            expected.append(row in taken)
            taken.add(row)
        assert recent.take(*columns(batch)).tolist() == expected
    assert len(recent) == len(taken)


@given(st.lists(rows, max_size=8), st.lists(st.integers(0, 21), min_size=3, max_size=3))
def test_what_is_closed_is_forgotten_and_nothing_else(batches: list[list[Row]], closed: list[int]) -> None:
    recent, taken = Recent(), set()
    for batch in batches:
        recent.take(*columns(batch))
        taken |= set(batch)
    recent.forget(np.array(closed, np.int64))
    kept = {row for row in taken if row[1] >= closed[row[0]]}
    assert len(recent) == len(kept)
    assert recent.take(*columns(sorted(kept))).all()


@given(st.lists(rows, max_size=6))
def test_a_restart_remembers(batches: list[list[Row]]) -> None:
    recent, restarted = Recent(), Recent()
    for batch in batches:
        recent.take(*columns(batch))
    restarted.restore(recent.state())
    assert len(restarted) == len(recent)
    for batch in batches:
        assert restarted.take(*columns(batch)).all()


def test_runs_stay_few_so_that_a_batch_costs_about_its_own_size() -> None:
    recent = Recent()
    for at in range(1_000):
        recent.take(*columns([(0, at * 10 + each, 1.0) for each in range(10)]))
    assert len(recent) == 10_000
    assert len(recent._runs) <= 12


def test_of_too_many_the_oldest_are_forgotten() -> None:
    limit = module.MAX_ROWS
    recent, place = Recent(), np.zeros(limit // 4, np.int64)
    for turn in range(8):
        recent.take(place, np.arange(len(place)) + turn * limit, np.ones(len(place)))
    assert len(recent) <= limit
    assert recent.take(place, np.arange(len(place)) + 7 * limit, np.ones(len(place))).all()
