"""Windows of any readings: each reading is in one emitted row or late, and rows are equal to NumPy's statistics."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.aggregator.window_types import Closed, WindowSettings
from edge_components.aggregator.windows import Windows
from tests.examples import examples

NOW_MS = 1_700_000_000_000
Row = tuple[int, int, float]

values = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(1e9, 1e9 + 1),
    st.sampled_from([0.0, -0.0, 1e99, -1e99, 5e-324]),
)
# Times around the present: in and out of order, long ago, ahead of the gateway's clock.
offsets = st.one_of(st.integers(-20_000, 20_000), st.integers(-4_000_000, 4_000_000))
batches = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 4), offsets, values), max_size=30),
        st.floats(0, 30),
    ),
    max_size=12,
)


def rows_of(closed: Closed) -> list[tuple[int, int, int, float, float, float, float]]:
    columns = (closed.series_id, closed.start_ms, closed.count, closed.mean, closed.min, closed.max, closed.std)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def run(script: list[tuple[list[Row], float]], windows: Windows) -> tuple[list[Closed], int, list[Row]]:
    """Add batches, closing windows after each; return the emitted rows, the number of late readings, and all
    readings."""
    emitted, late, given_rows, now = [], 0, [], 0.0
    for batch, pause in script:
        rows = [(series_id, NOW_MS + round(now * 1000) + offset, value) for series_id, offset, value in batch]
        series_id, time_ms = (np.array([row[at] for row in rows], np.int64) for at in (0, 1))
        value = np.array([row[2] for row in rows], np.float64)
        late += windows.add(series_id, time_ms, value, NOW_MS + round(now * 1000), now)
        given_rows += rows
        now += pause
        emitted.append(windows.close(now))
    emitted.append(windows.finish())
    return emitted, late, given_rows


@pytest.mark.slow
@given(batches, st.sampled_from([100, 1_000, 7_919, 60_000]), st.sampled_from([0, 1_000, 30_000]))
def test_every_reading_is_in_exactly_one_row_or_late(
    script: list[tuple[list[Row], float]], width: int, lateness: int
) -> None:
    windows = Windows(WindowSettings(width_ms=width, lateness_ms=lateness))
    emitted, late, given_rows = run(script, windows)
    assert sum(int(closed.count.sum()) for closed in emitted) + late == len(given_rows)
    assert len(windows) == 0


@pytest.mark.slow
@given(batches, st.sampled_from([100, 1_000, 60_000]), st.sampled_from([0, 1_000]))
def test_no_window_with_readings_is_emitted_twice(
    script: list[tuple[list[Row], float]], width: int, lateness: int
) -> None:
    windows = Windows(WindowSettings(width_ms=width, lateness_ms=lateness))
    emitted, _late, _rows = run(script, windows)
    names = [row[:2] for closed in emitted for row in rows_of(closed) if row[2]]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@given(batches, st.sampled_from([1_000, 60_000]))
def test_rows_are_equal_to_numpys_statistics_if_all_disorder_is_within_the_lateness(
    script: list[tuple[list[Row], float]], width: int
) -> None:
    windows = Windows(WindowSettings(width_ms=width, lateness_ms=10**8, idle_ms=10**8, gap_windows=0))
    emitted, late, given_rows = run(script, windows)
    expected: dict[tuple[int, int], list[float]] = defaultdict(list)
    for series_id, time_ms, value in given_rows:
        expected[series_id, time_ms - time_ms % width].append(value)
    assert late == 0
    found = {row[:2]: row[2:] for closed in emitted for row in rows_of(closed)}
    assert found.keys() == expected.keys()
    for name, (count, mean, low, high, std) in found.items():
        own = np.array(expected[name], np.longdouble)
        assert (count, low, high) == (len(own), float(own.min()), float(own.max()))
        spread = float(np.max(np.abs(own - own.mean()))) if len(own) else 0.0
        scale = max(abs(low), abs(high), 5e-324)
        assert abs(mean - float(own.mean())) <= 1e-14 * scale * len(own) + 1e-300
        assert low <= mean <= high
        assert abs(std - float(own.std())) <= 1e-9 * spread + 1e-14 * scale * len(own) + 1e-150  # squares underflow


@given(st.lists(st.tuples(st.integers(0, 50_000), values), min_size=1, max_size=200), st.data())
@settings(max_examples=examples(50))
def test_rows_do_not_depend_on_the_batches_of_readings(readings: list[tuple[int, float]], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(readings)), max_size=6)))
    wide = WindowSettings(width_ms=10_000, lateness_ms=10**8, idle_ms=10**8)
    whole, cut = Windows(wide), Windows(wide)
    time_ms = np.array([NOW_MS + at for at, _ in readings], np.int64)
    value = np.array([value for _, value in readings])
    series_id = np.zeros(len(readings), np.int64)
    whole.add(series_id, time_ms, value, NOW_MS, 0.0)
    for first, last in zip([0, *cuts], [*cuts, len(readings)], strict=True):
        cut.add(series_id[first:last], time_ms[first:last], value[first:last], NOW_MS, 0.0)
    one, other = whole.finish(), cut.finish()
    scale = np.maximum(np.abs(one.min), np.abs(one.max)) + 1e-300
    np.testing.assert_array_equal(one.start_ms, other.start_ms)
    np.testing.assert_array_equal(one.count, other.count)
    np.testing.assert_array_equal(one.min, other.min)
    np.testing.assert_array_equal(one.max, other.max)
    assert np.all(np.abs(one.mean - other.mean) <= 1e-12 * scale)
    assert np.all(np.abs(one.std - other.std) <= 1e-7 * scale)


@pytest.mark.slow
@given(st.integers(-(10**8), 10**8), st.integers(5, 40))
def test_a_constant_clock_offset_of_a_series_loses_no_reading_and_affects_no_other_series(
    offset: int, seconds: int
) -> None:
    windows = Windows(WindowSettings(width_ms=1_000, lateness_ms=0, gap_windows=0))
    late, counts = 0, np.zeros(2, np.int64)
    for second in range(seconds):
        now_ms = NOW_MS + second * 1_000
        late += windows.add(
            np.array([0, 1]), np.array([now_ms, now_ms + offset]), np.array([1.0, 2.0]), now_ms, float(second)
        )
        closed = windows.close(float(second))
        counts += np.bincount(closed.series_id, closed.count, 2).astype(np.int64)
    assert late == 0
    # The expected delay is at most the window of the last reading and the two that confirm a jump ahead.
    assert counts[0] == seconds - 1
    assert counts[1] >= seconds - 3
