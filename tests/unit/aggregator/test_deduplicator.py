"""A repeated reading is recognised until its window is closed, regardless of the readings in between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.aggregator import deduplicator as module
from edge_components.aggregator.deduplicator import Deduplicator, Hashes
from wire.model import FloatArray, IntArray

Row = tuple[int, int, float]
rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20), st.sampled_from([0.0, -0.0, 1.5, -1.5])), max_size=30)


def columns(given_rows: list[Row]) -> tuple[IntArray, Hashes, IntArray, FloatArray]:
    series_id, time_ms, value = zip(*given_rows, strict=True) if given_rows else ((), (), ())
    ids = np.array(series_id, np.int64)
    return ids, ids.astype(np.uint64), np.array(time_ms, np.int64), np.array(value, np.float64)


@given(st.lists(rows, max_size=12))
def test_only_unknown_rows_are_new(batches: list[list[Row]]) -> None:
    known, taken = Deduplicator(), set()
    for batch in batches:
        expected = []
        for row in batch:
            expected.append(row in taken)
            taken.add(row)
        assert known.add(*columns(batch)).tolist() == expected
    assert len(known) == len(taken)


@given(st.lists(rows, max_size=8), st.lists(st.integers(0, 21), min_size=3, max_size=3))
def test_only_closed_rows_are_reduced(batches: list[list[Row]], closed: list[int]) -> None:
    known, taken = Deduplicator(), set()
    for batch in batches:
        known.add(*columns(batch))
        taken |= set(batch)
    known.close_before(np.array(closed, np.int64))
    kept = {row for row in taken if row[1] >= closed[row[0]]}
    assert len(known) == len(kept)
    assert known.add(*columns(sorted(kept))).all()


@given(st.lists(rows, max_size=6))
def test_known_readings_survive_a_restart(batches: list[list[Row]]) -> None:
    known, restarted = Deduplicator(), Deduplicator()
    for batch in batches:
        known.add(*columns(batch))
    restarted.restore(known.state())
    assert len(restarted) == len(known)
    for batch in batches:
        assert restarted.add(*columns(batch)).all()


def test_runs_stay_few_so_that_a_batch_costs_about_its_own_size() -> None:
    known = Deduplicator()
    for at in range(1_000):
        known.add(*columns([(0, at * 10 + each, 1.0) for each in range(10)]))
    assert len(known) == 10_000
    assert len(known._runs) <= 12


def test_of_too_many_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 40_000
    monkeypatch.setattr(module, "MAX_ROWS", limit)
    known, series_id = Deduplicator(), np.zeros(limit // 4, np.int64)
    seed = series_id.astype(np.uint64)
    for turn in range(8):
        known.add(series_id, seed, np.arange(len(series_id)) + turn * limit, np.ones(len(series_id)))
    assert len(known) <= limit
    assert known.add(series_id, seed, np.arange(len(series_id)) + 7 * limit, np.ones(len(series_id))).all()


def test_a_late_reading_is_a_repetition_only_if_its_whole_hash_is_known() -> None:
    known, row = Deduplicator(), columns([(0, 5, 1.5)])
    known.remember_closed(module._hash(*row[1:]) ^ np.uint64(1))
    assert known.add(*row, np.array([True])).tolist() == [False]
    known.close_before(np.array([100]))
    assert known.add(*row, np.array([True])).tolist() == [True]
    assert known.add(*row, np.array([False])).tolist() == [False]


def test_the_clean_up_is_named_whose_hashes_are_given_up() -> None:
    known, series_id = Deduplicator(), np.zeros(module.MAX_CLOSED // 8, np.int64)
    seed = series_id.astype(np.uint64)
    for turn in range(12):
        assert known.tag == turn + 1
        start = turn * len(series_id)
        known.add(series_id, seed, start + np.arange(len(series_id)), np.ones(len(series_id)))
        known.close_before(np.array([start + len(series_id)]))
    assert known.forgotten == 4
    late = np.ones(len(series_id), np.bool_)
    assert not known.add(series_id, seed, 3 * len(series_id) + np.arange(len(series_id)), late * 1.0, late).any()
    assert known.add(series_id, seed, 4 * len(series_id) + np.arange(len(series_id)), late * 1.0, late).all()
