"""Regular grid of a history: each reading is counted once, and a long gap restarts the history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core.history import LONG_GAP_ROWS, MAX_STEPS, History, history

WIDTH = 10_000


def past(start: list[int], mean: list[float] | None = None, count: list[int] | None = None, **now: int) -> History:
    n = len(start)
    found = history(
        np.array(start, np.int64),
        np.full(n, WIDTH, np.int64),
        np.array(count or [10] * n, np.int64),
        np.array(mean if mean is not None else np.arange(n), np.float64),
        **now,
    )
    assert found is not None
    return found


def test_consecutive_rows_are_the_steps_of_the_grid() -> None:
    found = past([at * WIDTH for at in range(30)])
    assert found.values.tolist() == list(range(30))
    assert (found.step_ms, found.start_ms, found.end_ms) == (WIDTH, 0, 30 * WIDTH)
    assert (found.rows, found.gap_ms, found.silent_ms, found.last) == (30, 0, 0, 29.0)


def test_rows_are_combined_into_steps_weighted_by_their_readings() -> None:
    n = 4 * MAX_STEPS
    found = past([at * WIDTH for at in range(n)], mean=[0.0, 0.0, 0.0, 8.0] * MAX_STEPS, count=[1, 1, 1, 5] * MAX_STEPS)
    assert len(found.values) == MAX_STEPS
    assert found.step_ms == 4 * WIDTH
    assert found.values == pytest.approx(np.full(MAX_STEPS, 5.0))


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 9), st.floats(-1e3, 1e3)), min_size=1, max_size=80),
    st.randoms(use_true_random=False),
)
def test_the_order_of_rows_has_no_effect(rows: list[tuple[int, int, float]], chance: object) -> None:
    rows = list({start: (start, count, mean) for start, count, mean in rows}.values())
    found = past(*[list(column) for column in zip(*[(s, m, c) for s, c, m in rows], strict=True)])
    chance.shuffle(rows)  # type: ignore[attr-defined]
    again = past(*[list(column) for column in zip(*[(s, m, c) for s, c, m in rows], strict=True)])
    assert again.values == pytest.approx(found.values, nan_ok=True)
    assert (again.step_ms, again.end_ms, again.gap_ms) == (found.step_ms, found.end_ms, found.gap_ms)
    assert len(found.values) <= MAX_STEPS
    kept = sorted(rows)[-found.rows :]
    known = found.values[np.isfinite(found.values)]
    assert min(m for _, _, m in kept) - 1e-9 <= known.min()
    assert known.max() <= max(m for _, _, m in kept) + 1e-9


def test_a_missing_row_is_an_empty_step() -> None:
    found = past([at * WIDTH for at in range(30) if at not in (7, 8)])
    assert np.flatnonzero(np.isnan(found.values)).tolist() == [7, 8]
    assert found.gap_ms == 0


def test_a_history_begins_after_the_last_long_gap() -> None:
    first, second = [at * WIDTH for at in range(40)], [(40 + 3 * LONG_GAP_ROWS + at) * WIDTH for at in range(25)]
    found = past(first + second)
    assert found.rows == len(found.values) == 25
    assert found.gap_ms == (3 * LONG_GAP_ROWS + 1) * WIDTH
    assert found.values.tolist() == list(range(40, 65))


def test_a_long_silence_since_the_last_row_is_reported() -> None:
    start = [at * WIDTH for at in range(30)]
    assert past(start, now_ms=31 * WIDTH).silent_ms == 0
    assert past(start, now_ms=60 * WIDTH).silent_ms == 30 * WIDTH


def test_rows_without_readings_or_values_are_ignored() -> None:
    empty = np.array([0], np.int64)
    assert history(empty, empty + WIDTH, empty, np.array([1.0])) is None
    assert history(empty, empty + WIDTH, empty + 3, np.array([np.nan])) is None
    assert history(empty, empty + WIDTH, empty + 3, np.array([1e200])) is None
    assert past([0]).values.tolist() == [0.0]
