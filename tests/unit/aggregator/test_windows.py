"""Windows are half-open and closed once by the time of their series; a wrong clock does not affect other series."""

from __future__ import annotations

import numpy as np
import pytest

from edge_components.aggregator.grade import WITHIN_DEADBAND, Grade
from edge_components.aggregator.window_types import Closed, WindowSettings
from edge_components.aggregator.windows import Windows

T0 = 1_700_000_000_000
SETTINGS = WindowSettings(width_ms=10_000, lateness_ms=1_000, idle_ms=5_000, tolerance_ms=10_000, gap_windows=0)
HOUR = 3_600_000


class Site:
    """Windows with a gateway's clock; times are seconds after T0."""

    def __init__(self, settings: WindowSettings = SETTINGS, now: float = 0.0) -> None:
        self.windows, self.now = Windows(settings), now
        self.late = 0
        self.rows: list[tuple[int, float, int, float]] = []

    def read(self, *readings: tuple[int, float, float]) -> None:
        """Add readings (series_id, seconds, value) as one batch."""
        series_id, at, value = (np.array(column) for column in zip(*readings, strict=True))
        time_ms = T0 + np.round(at * 1000).astype(np.int64)
        now_ms = T0 + round(self.now * 1000)
        self.late += self.windows.add(series_id.astype(np.int64), time_ms, value.astype(float), now_ms, self.now)

    def close(self, now: float | None = None) -> list[tuple[int, float, int, float]]:
        """Return rows (series_id, start in seconds, count, mean)."""
        self.now = self.now if now is None else now
        found = rows_of(self.windows.close(self.now))
        self.rows += found
        return found

    def live(self, series_id: int, offset: float, seconds: int, value: float = 1.0) -> None:
        """One reading a second, stamped by a clock that is ``offset`` seconds off."""
        for _ in range(seconds):
            self.now += 1.0
            self.read((series_id, self.now + offset, value))
            self.close()


def rows_of(closed: Closed) -> list[tuple[int, float, int, float]]:
    return [
        (series_id, (start - T0) / 1000, count, mean)
        for series_id, start, count, mean in zip(
            closed.series_id.tolist(),
            closed.start_ms.tolist(),
            closed.count.tolist(),
            closed.mean.tolist(),
            strict=True,
        )
    ]


def test_a_reading_at_a_window_s_end_belongs_to_the_next() -> None:
    site = Site(now=100.0)
    site.read((0, 0.0, 1.0), (0, 9.999, 3.0), (0, 10.0, 100.0), (0, 11.0, 100.0))
    assert site.close() == [(0, 0.0, 2, 2.0)]


def test_windows_are_aligned_to_the_epoch() -> None:
    windows = Windows(WindowSettings(width_ms=7_000, lateness_ms=0))
    windows.add(np.zeros(1, np.int64), np.array([T0]), np.ones(1), T0, 0.0)
    closed = windows.finish()
    assert closed.start_ms.tolist() == [T0 // 7_000 * 7_000]
    assert closed.width_ms.tolist() == [7_000]


def test_a_row_has_count_mean_minimum_maximum_and_population_deviation() -> None:
    site = Site()
    site.read((0, 0, 2.0), (0, 1, 4.0))
    site.read((0, 2, 4.0), (0, 3, 4.0), (0, 4, 5.0), (0, 5, 5.0), (0, 6, 7.0), (0, 7, 9.0))
    closed = site.windows.finish()
    assert (closed.count[0], closed.mean[0], closed.min[0], closed.max[0], closed.std[0]) == (8, 5.0, 2.0, 9.0, 2.0)


def test_deviations_hold_where_sums_of_squares_would_cancel() -> None:
    site, chance = Site(), np.random.default_rng(1)
    values = 1e9 + chance.normal(0, 1e-3, 1_000)
    for at, value in enumerate(values):
        site.read((0, at / 1_000, value))
    closed = site.windows.finish()
    assert closed.std[0] == pytest.approx(np.std(values - 1e9), rel=1e-4)
    assert closed.mean[0] == pytest.approx(values.mean(), abs=1e-6)


def test_a_window_waits_for_the_allowed_lateness_of_its_own_series() -> None:
    site = Site(now=100.0)
    site.read((0, 5.0, 1.0), (0, 10.9, 1.0), (1, 5.0, 1.0), (1, 60.0, 1.0))
    assert site.close() == [(1, 0.0, 1, 1.0)]
    site.read((0, 9.0, 3.0), (0, 11.0, 1.0))
    assert site.close() == [(0, 0.0, 2, 2.0)]
    assert site.late == 0


def test_a_reading_for_an_emitted_window_is_late_and_the_window_is_not_emitted_again() -> None:
    site = Site(now=100.0)
    site.read((0, 5.0, 1.0), (0, 11.0, 1.0))
    assert len(site.close()) == 1
    site.read((0, 6.0, 1.0), (0, 10.0, 3.0))
    assert site.late == 1
    site.read((0, 21.0, 1.0))
    assert site.close() == [(0, 10.0, 2, 2.0)]


def test_unordered_readings_of_one_batch_are_not_late() -> None:
    site = Site(now=100.0)
    site.read((0, 100.0, 1.0), (0, 5.0, 1.0), (0, 55.0, 1.0))
    assert site.close() == [(0, 0.0, 1, 1.0), (0, 50.0, 1, 1.0)]
    assert site.late == 0


def test_a_series_that_fell_silent_does_not_hold_its_window() -> None:
    site = Site()
    site.read((0, 3.0, 1.0))
    # The window ends 7 s later by the series' own time; then lateness and the idle timeout.
    assert site.close(12.99) == []
    assert site.close(13.0) == [(0, 0.0, 1, 1.0)]


def test_a_sensor_an_hour_behind_becomes_idle_by_its_own_time() -> None:
    site = Site()
    site.read((0, -3_600.0 + 3.0, 1.0))
    assert site.close(13.0) == [(0, -3_600.0, 1, 1.0)]
    site.read((0, -3_600.0 + 13.0, 5.0))
    site.live(0, -3_600.0, 20, 5.0)
    assert site.late == 0
    assert (0, -3_590.0, 7, 5.0) in site.rows


def test_a_sensor_an_hour_ahead_makes_no_other_late_and_is_aggregated_at_once() -> None:
    site = Site()
    for _ in range(40):
        site.now += 1.0
        site.read((0, site.now, 1.0), (1, site.now + 3_600.0, 2.0))
        site.close()
    assert site.late == 0
    assert [row for row in site.rows if row[0] == 0] == [(0, 0.0, 9, 1.0), (0, 10.0, 10, 1.0), (0, 20.0, 10, 1.0)]
    assert [row for row in site.rows if row[0] == 1] == [
        (1, 3_600.0, 9, 2.0),
        (1, 3_610.0, 10, 2.0),
        (1, 3_620.0, 10, 2.0),
    ]


def test_one_timestamp_ahead_does_not_make_later_readings_late() -> None:
    site = Site()
    site.live(0, 0.0, 25)
    site.read((0, site.now + 3_600.0, 9.0))
    site.close()
    site.live(0, 0.0, 25)
    assert site.late == 0
    assert [row[2] for row in site.rows] == [9, 10, 10, 10]
    # Its own window comes when the series gets there; two of the present are open.
    assert len(site.windows) == 3


def test_a_sensor_that_was_ahead_continues_in_the_present_after_its_clock_is_corrected() -> None:
    site = Site()
    site.live(0, 0.0, 15)
    site.live(0, 3_600.0, 60)
    before = site.late
    site.live(0, 0.0, 60)
    assert site.late == before == 0
    # Second 75 to 134 of the present are counted but for the last window, which is open.
    present = [row for row in site.rows if 70.0 <= row[1] < 3_000.0]
    assert [row[1] for row in present] == [70.0, 80.0, 90.0, 100.0, 110.0, 120.0]
    assert [row[2] for row in present] == [4, 10, 10, 10, 10, 10]


def test_the_stretch_that_was_emitted_under_a_clock_ahead_is_not_emitted_again() -> None:
    site = Site()
    site.live(0, 0.0, 5)
    site.live(0, 120.0, 60)
    site.live(0, 0.0, 200)
    names = [row[:2] for row in site.rows]
    assert len(set(names)) == len(names)
    # What reaches the barred stretch is late; before and after it everything is counted.
    assert 40 <= site.late <= 70


def test_two_stretches_that_were_emitted_under_a_clock_ahead_are_both_not_emitted_again() -> None:
    for first, second in ((120.0, 300.0), (300.0, 120.0)):
        site = Site()
        site.live(0, 0.0, 5)
        site.live(0, first, 40)
        site.live(0, 0.0, 15)
        site.live(0, second, 40)
        site.live(0, 0.0, 350)
        names = [row[:2] for row in site.rows]
        assert len(set(names)) == len(names)
        assert site.late > 0


def test_a_gateway_whose_clock_is_not_set_loses_nothing() -> None:
    windows, late, count = Windows(SETTINGS), 0, 0
    for second in range(30):
        now_ms = 1_000 * second if second < 15 else T0 + 1_000 * second
        late += windows.add(np.zeros(1, np.int64), np.array([T0 + 1_000 * second]), np.ones(1), now_ms, float(second))
        count += int(windows.close(float(second)).count.sum())
    assert (late, count) == (0, 20)


def test_no_new_reading_is_lost_after_a_clock_a_year_ahead_is_corrected() -> None:
    windows, late, count = Windows(SETTINGS), 0, 0
    year = 365 * 24 * HOUR
    for second in range(60):
        now_ms = T0 + 1_000 * second + (year if second < 30 else 0)
        # Stamped by the gateway itself, on arrival.
        late += windows.add(np.zeros(1, np.int64), np.array([now_ms]), np.ones(1), now_ms, float(second))
        count += int(windows.close(float(second)).count.sum())
    assert late == 0
    assert count + int(windows.finish().count.sum()) == 60


def test_another_width_ends_the_open_windows_and_loses_nothing() -> None:
    site = Site(now=100.0)
    site.read((0, 1.0, 1.0), (0, 12.0, 2.0))
    site.close()
    closed, _, _ = site.windows.reconfigure(WindowSettings(width_ms=60_000, lateness_ms=0, idle_ms=5_000))
    assert (rows_of(closed), closed.width_ms.tolist()) == ([(0, 10.0, 1, 2.0)], [10_000])
    assert site.rows == [(0, 0.0, 1, 1.0)]
    site.read((0, 13.0, 3.0), (0, 9.0, 3.0), (0, 75.0, 4.0))
    again = site.windows.close(site.now)
    # T0 is 20 s past a full minute.
    assert (rows_of(again), again.width_ms.tolist()) == ([(0, -20.0, 1, 3.0)], [60_000])
    assert site.late == 1


def test_other_settings_of_the_same_width_close_nothing() -> None:
    site = Site()
    site.read((0, 1.0, 1.0))
    assert len(site.windows.reconfigure(WindowSettings(width_ms=10_000, lateness_ms=0))[0]) == 0
    assert len(site.windows) == 1


def test_a_thousand_series_are_distinguished() -> None:
    windows = Windows(SETTINGS)
    series_ids = np.repeat(np.arange(1_000), 3)
    windows.add(series_ids, np.full(3_000, T0), series_ids.astype(float), T0, 0.0)
    closed = windows.finish()
    assert closed.series_id.tolist() == list(range(1_000))
    assert closed.mean.tolist() == list(map(float, range(1_000)))
    assert set(closed.count.tolist()) == {3}


def test_no_readings_give_no_windows() -> None:
    windows = Windows(SETTINGS)
    nothing = np.zeros(0, np.int64)
    assert windows.add(nothing, nothing, nothing.astype(float), T0, 0.0) == 0
    assert len(windows.close(1e6)) == len(windows.finish()) == 0


GAPS = WindowSettings(width_ms=10_000, lateness_ms=0, idle_ms=5_000, gap_windows=3)


def silence(site: Site, until: float) -> list[tuple[int, float, int]]:
    rows = []
    while site.now < until:
        rows += [row[:3] for row in site.close(site.now + 1.0)]
    return rows


def test_a_silence_is_reported_by_a_few_rows_of_count_0() -> None:
    site = Site(GAPS)
    site.live(0, 0.0, 35)
    rows = silence(site, 300.0)
    assert rows == [(0, 30.0, 6), (0, 40.0, 0), (0, 50.0, 0), (0, 60.0, 0)]


def test_rows_of_count_0_have_no_values() -> None:
    site = Site(GAPS)
    site.live(0, 0.0, 35)
    closed = site.windows.close(300.0)
    empty = closed.count == 0
    assert empty.sum() == 3
    for column in (closed.mean, closed.min, closed.max, closed.std):
        assert np.isnan(column[empty]).all()
        assert not np.isnan(column[~empty]).any()


def test_sensor_with_a_long_interval_is_not_silent_between_readings() -> None:
    site = Site(GAPS)
    for minute in range(10):
        site.read((0, 60.0 * minute, 1.0))
        silence(site, 60.0 * (minute + 1))
    assert [row[2] for row in site.rows] == [1] * 10
    site.rows.clear()
    silence(site, 1_000.0)
    assert [(row[1], row[2]) for row in site.rows] == [(600.0, 0), (660.0, 0), (720.0, 0)]


def test_a_series_that_reports_again_can_have_another_gap() -> None:
    site = Site(GAPS)
    site.live(0, 0.0, 35)
    silence(site, 200.0)
    site.live(0, 0.0, 35)
    rows = silence(site, 400.0)
    assert [row[2] for row in rows].count(0) == 3


def test_a_series_received_once_is_not_expected_again() -> None:
    site = Site(GAPS)
    site.read((0, 1.0, 1.0))
    assert [row[2] for row in silence(site, 500.0)] == [1]


def test_readings_that_arrive_after_their_window_was_reported_empty_are_not_lost() -> None:
    site = Site(GAPS)
    site.live(0, 0.0, 35)
    silence(site, 100.0)
    site.read(*((0, at, 1.0) for at in np.arange(40.0, 101.0)))
    site.close()
    filled = {row[1]: row[2] for row in site.rows if row[2]}
    assert site.late == 0
    assert [filled[start] for start in (40.0, 50.0, 60.0, 70.0, 80.0, 90.0)] == [10] * 6


def test_rows_of_count_0_can_be_disabled() -> None:
    site = Site()
    site.live(0, 0.0, 35)
    assert all(row[2] for row in silence(site, 500.0))


def test_a_removed_window_leaves_no_mark_that_it_has_no_row() -> None:
    windows, one = Windows(SETTINGS), np.zeros(1, np.int64)
    within = np.full(1, Grade.GOOD | WITHIN_DEADBAND, np.uint8)
    windows.add(one, np.array([T0]), np.ones(1), T0, 0.0, quality=within)
    assert any(len(array) for name, array in windows.state().items() if "unreported" in name)
    windows.remove([(0, T0)])
    assert not any(len(array) for name, array in windows.state().items() if "unreported" in name)


def test_a_removed_window_stays_closed() -> None:
    site = Site(now=5.0)
    site.read((0, 3.0, 1.0))
    site.windows.remove([(0, T0)])
    assert site.windows.finish().count.tolist() == []
    site.read((0, 4.0, 1.0), (0, 11.0, 1.0))
    assert site.late == 1
    assert [row[:3] for row in rows_of(site.windows.finish())] == [(0, 10.0, 1)]


def test_windows_that_are_closed_together_with_those_of_a_clock_ahead_are_not_emitted_again() -> None:
    site = Site(now=16.0)
    site.read((0, 5.0, 1.0), (0, 15.0, 1.0))
    for at in (316.0, 317.0, 331.0):
        site.now += 0.5
        site.read((0, at, 1.0))
    assert [row[1] for row in site.close()] == [0.0, 10.0, 310.0]
    site.live(0, -5.0, 60)
    names = [row[:2] for row in site.rows]
    assert len(set(names)) == len(names)


def test_a_gap_within_the_tolerance_is_no_jump_and_its_readings_are_late() -> None:
    site = Site(now=100.0)
    site.read((0, 95.0, 1.0), (0, 105.0, 1.0))
    site.now = 101.0
    for at in (121.0, 125.0, 132.0):  # ahead of the gateway by more than the tolerance
        site.read((0, at, 1.0))
    assert [row[1] for row in site.close()] == [90.0, 100.0, 120.0]
    site.now = 104.0
    site.read((0, 113.0, 1.0))
    assert site.late == 1


def test_the_first_reading_after_the_gateway_s_clock_was_set_back_is_not_late() -> None:
    site = Site(now=10_000.0)
    site.read((0, 9_995.0, 1.0), (0, 10_005.0, 1.0))
    site.close()
    for at in (20_000.0, 20_001.0, 20_012.0):
        site.read((0, at, 1.0))
    assert [row[1] for row in site.close()] == [10_000.0, 20_000.0]
    site.now = 20.0
    for at in (17.0, 18.0, 22.0):
        site.read((0, at, 1.0))
    assert site.late == 0
    site.now = 40.0
    assert [row[:3] for row in site.close()] == [(0, 10.0, 2), (0, 20.0, 1)]
