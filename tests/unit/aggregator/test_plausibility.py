"""Readings are compared with the last plausible one of their series: rate of change and stuck values."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_components.aggregator.plausibility import PlausibilityChecks, SeriesLimits

Row = tuple[int, int, float]


def limits(rate: float = np.inf, stuck_ms: float = np.inf) -> SeriesLimits:
    return SeriesLimits(np.array([rate, np.inf, rate]), np.array([stuck_ms, np.inf, stuck_ms]))


def check(checks: PlausibilityChecks, rows: list[Row], bound: SeriesLimits) -> tuple[list[bool], list[bool]]:
    ids, times, values = (np.array(column) for column in zip(*rows, strict=True))
    fast, stuck = checks.check(ids.astype(np.int64), times.astype(np.int64), values.astype(float), bound)
    return fast.tolist(), stuck.tolist()


def test_a_spike_is_too_fast_and_the_reading_after_it_is_not() -> None:
    checks = PlausibilityChecks()
    rows = [(0, 0, 10.0), (0, 1000, 11.0), (0, 2000, 90.0), (0, 3000, 12.0), (1, 3000, 0.0), (1, 3001, 1e9)]
    assert check(checks, rows, limits(rate=2.0))[0] == [False, False, True, False, False, False]
    assert check(checks, [(0, 4000, 90.0), (0, 5000, 15.5)], limits(rate=2.0))[0] == [True, False]


def test_a_step_that_persists_is_accepted_when_the_rate_allows_it() -> None:
    checks = PlausibilityChecks()
    rows = [(0, 1000 * second, 0.0 if not second else 10.0) for second in range(8)]
    assert check(checks, rows, limits(rate=2.0))[0] == [False, True, True, True, True, False, False, False]


def test_an_unchanged_value_is_stuck_after_the_time_over_several_batches() -> None:
    checks, bound = PlausibilityChecks(), limits(stuck_ms=2000)
    assert check(checks, [(0, 0, 5.0), (0, 1000, 5.0), (1, 9000, 5.0)], bound)[1] == [False] * 3
    assert check(checks, [(0, 2000, 5.0), (0, 2001, 5.0), (0, 3000, 6.0), (0, 4000, 6.0)], bound)[1] == [
        False,
        True,
        False,
        False,
    ]
    assert check(checks, [(0, 5001, 6.0), (1, 99_000, 5.0)], bound)[1] == [True, False]


def test_late_readings_are_not_checked_and_a_new_series_has_no_history() -> None:
    checks, bound = PlausibilityChecks(), limits(rate=1.0)
    check(checks, [(0, 10_000, 5.0)], bound)
    assert check(checks, [(0, 5000, 500.0)], bound)[0] == [False]
    assert check(checks, [(0, 11_000, 5.5)], bound)[0] == [False]
    checks.reset(0)
    assert check(checks, [(0, 12_000, 500.0)], bound)[0] == [False]


rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 4).map(float)), min_size=1, max_size=12)


@given(st.lists(rows, max_size=5))
def test_the_checks_agree_with_a_loop_over_the_readings(batches: list[list[Row]]) -> None:
    checks, bound = PlausibilityChecks(), limits(rate=1000.0, stuck_ms=3)
    last: dict[int, tuple[int, float, int]] = {}
    for batch in batches:
        batch = sorted(batch, key=lambda row: (row[1], row[0]))
        newest = {series: time for series, (time, _, _) in last.items()}
        expected = []
        for series, time, value in batch:
            if series == 1 or time < newest.get(series, -1):
                expected.append((False, False))
                continue
            before = last.get(series)
            if before is not None and abs(value - before[1]) > max(time - before[0], 1):
                expected.append((True, False))
                continue
            since = time if before is None or value != before[1] else before[2]
            last[series] = time, value, since
            expected.append((False, time - since > 3))
        fast, stuck = check(checks, batch, bound)
        assert list(zip(fast, stuck, strict=True)) == expected
