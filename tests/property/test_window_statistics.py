"""Percentiles of any readings, live and late, are those that NumPy computes of all readings of the window."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.aggregator.distributions import Distributions, rounded
from edge_components.aggregator.window_statistics import thousandths
from edge_components.aggregator.window_types import WindowSettings
from edge_components.aggregator.windows import Windows

NOW_MS = 1_700_000_000_000
STATISTICS = ("last", "p1", "p50", "p95", "p99_9")
finite = st.floats(-1e100, 1e100, allow_subnormal=False)
reading = st.tuples(st.integers(0, 2), st.integers(-30_000, 0), st.sampled_from([1.0, 2.5, -3.0, 0.0, 1e6]) | finite)


@given(st.lists(finite, min_size=1, max_size=60), st.integers(1, 999))
def test_a_quantile_is_that_of_numpy(values: list[float], share: int) -> None:
    found = Distributions()
    for value in values:
        found.add(np.zeros(1, np.int64), np.array([value]))
    quantile, count = found.quantiles(np.zeros(1, np.int64), share)
    # The rank is computed in integers here: NumPy's product of a float can be just above a whole number.
    assert quantile[0] == sorted(values)[-(-share * len(values) // 1000) - 1]
    assert count[0] == len(values)


@given(st.lists(finite, min_size=1, max_size=60), st.integers(0, 12))
def test_rounding_is_within_the_relative_error(values: list[float], bits: int) -> None:
    value = np.array(values)
    near = rounded(value, bits)
    assert np.all(np.abs(near - value) <= 2.0 ** -(bits + 1) * np.abs(value) * (1 + 1e-12))
    assert np.array_equal(rounded(near, bits), near)


@settings(deadline=None)
@given(st.lists(st.lists(reading, max_size=20), max_size=8), st.sampled_from([1_000, 7_919]))
def test_rows_of_statistics_are_of_every_reading_of_their_window(
    script: list[list[tuple[int, int, float]]], width: int
) -> None:
    rules = (("s0", STATISTICS), ("s1", ("p50",)))
    windows = Windows(WindowSettings(width_ms=width, lateness_ms=0, idle_ms=0, backlog_ms=10**9, statistics=rules))
    for series_id in range(3):
        windows.shapes.assign(series_id, f"s{series_id}")
        windows.statistics.assign(series_id, f"s{series_id}")
    given_rows: dict[tuple[int, int], list[tuple[int, float]]] = defaultdict(list)
    for second, batch in enumerate([*script, []]):
        time_ms = np.array([NOW_MS + offset for _, offset, _ in batch], np.int64)
        ids = np.array([number for number, _, _ in batch], np.int64)
        value = np.array([one for _, _, one in batch])
        assert windows.add(ids, time_ms, value, NOW_MS + 30_000 * second, second * 30.0) == 0
        for number, at, one in zip(ids.tolist(), time_ms.tolist(), value.tolist(), strict=True):
            given_rows[number, at - at % width].append((at, one))
        closed = windows.close(second * 30.0)
        late, _added = windows.close_late(second * 30.0 + 29.0)
        expected = {
            (statistic, number, start)
            for rows in (closed, late)
            for number, start, count in zip(
                rows.series_id.tolist(), rows.start_ms.tolist(), rows.count.tolist(), strict=True
            )
            for statistic in dict(rules).get(f"s{number}", ())
            if count
        }
        found = set()
        for rows in windows.statistics.take_emitted():
            columns = (rows.series_id.tolist(), rows.start_ms.tolist(), rows.count.tolist(), rows.value.tolist())
            for number, start, count, one in zip(*columns, strict=True):
                found.add((rows.statistic, number, start))
                own = given_rows[number, start]
                assert count == len(own)
                if rows.statistic == "last":
                    newest = max(at for at, _ in own)
                    assert one == [value for at, value in own if at == newest][-1]
                else:
                    rank = -(-thousandths(rows.statistic) * count // 1000)
                    assert one == sorted(value for _, value in own)[rank - 1]
        assert found == expected
