"""Statistics of single experts, and the alarm level that follows from the setting and from the series' behaviour."""

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate import calibration
from edge_components.anomaly_detector.univariate.calibration import Records
from edge_components.anomaly_detector.univariate.expert_set import ExpertSet
from edge_components.anomaly_detector.univariate.experts.level import level_span
from edge_components.anomaly_detector.univariate.experts.stuck import run_limit
from edge_components.anomaly_detector.univariate.forecaster import plain_forecast
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows

COLUMNS = ExpertSet(Settings())
SCALED = COLUMNS.scaled


def statistics_of(values, settings):
    """Return the statistics [windows, series, total] of means [windows, series] without calibration."""
    experts = ExpertSet(settings)
    n = values.shape[1]
    series, states = experts.new_series(n), experts.new_states(n)
    statistics = np.empty((*values.shape, experts.total))
    for row, value in enumerate(values):
        windows = Windows(value, value, value, np.zeros(n), np.ones(n), np.full(n, float(row)))
        statistics[row], _ = experts.update(series, states, windows, plain_forecast)
    return statistics


def of(name, statistics):
    return statistics[:, 0, COLUMNS.index(name)]


def bursty(rows, step):
    """Return a quiet series with bursts in one row of seven, and a small step after half of the rows."""
    rng = np.random.default_rng(8)
    values = rng.normal(0, 0.1, rows)
    values[rng.random(rows) < 1 / 7] += 8.0
    values[rows // 2 :] += step
    return values[:, None]


@pytest.mark.slow
def test_the_quartiles_detect_a_shift_that_bursts_hide_from_the_mean():
    found = statistics_of(bursty(600, step=0.6), Settings(calibration=300))
    shift, level = of("shift", found), of("level", found)
    assert shift[300:390].max() > 2 * shift[100:300].max()
    assert level[300:390].max() < 2 * level[100:300].max()


def test_a_shift_is_the_distance_of_the_nearer_quartile_from_the_median_before():
    settings = Settings(calibration=300)
    span = level_span(settings)
    values = np.concatenate((np.full(2 * span, 5.0), np.linspace(6.0, 9.0, span)))[:, None]
    found = of("shift", statistics_of(values, settings))[-1]
    assert found == pytest.approx(np.sort(values[-span:, 0])[span // 4] - 5.0)


def test_a_few_bursts_are_not_a_shift():
    values = np.zeros((300, 1))
    values[200:206] = 50.0
    assert np.nanmax(of("shift", statistics_of(values, Settings(calibration=300)))) == 0.0


@pytest.mark.parametrize(("calibration", "absent", "present"), [(60, "shift", "trend"), (300, "trend", "shift")])
def test_errors_are_cumulated_after_short_calibrations_and_quartiles_compared_after_long_ones(
    calibration, absent, present
):
    found = statistics_of(bursty(400, step=0.6), Settings(calibration=calibration))
    assert np.isnan(of(absent, found)).all()
    assert np.isfinite(of(present, found)[-1])


@pytest.mark.parametrize("step", [10, 20])
def test_a_step_is_the_difference_of_the_means_before_and_after(step):
    values = np.concatenate((np.zeros(40), np.full(step, 3.0)))[:, None]
    found = of("step", statistics_of(values, Settings(calibration=60)))
    assert found[-1] == pytest.approx({10: 3.0, 20: 0.0}[step])


def test_a_spike_is_compared_with_the_windows_before_it_only():
    values = np.zeros((50, 1))
    values[40] = 7.0
    found = of("spike", statistics_of(values, Settings(calibration=60)))
    assert found[40] == 7.0
    assert found[41] == 0.0


def test_a_series_that_never_changed_has_no_limit_of_equal_windows():
    assert run_limit(np.array([60]), np.array([59]), 60, 1e-6)[0] == np.inf
    assert run_limit(np.array([0]), np.array([0]), 60, 1e-6)[0] == 5.0
    assert run_limit(np.array([4]), np.array([8]), 60, 1e-6)[0] == 14.0


def records(windows, passed=0.0, alarms=0.0):
    kept = Records.new(1, SCALED)
    kept.windows[:], kept.passed[:], kept.alarms[:] = windows, passed, alarms
    kept.passed_excess[:] = 0.1 * passed
    return kept


def level(kept, every, rate_is_set=True):
    return float(calibration.levels(kept, 60, every, rate_is_set)[0])


def test_a_lower_rate_of_alarms_gives_a_higher_level():
    found = [level(records(1_000), every) for every in (100, 1_000, 10_000)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_the_level_of_a_series_that_exceeds_it_more_often_than_others_is_higher():
    usual = records(10_000, passed=10_000 / (60 * calibration.NATURAL))
    often, rarely = records(10_000, passed=200.0), records(10_000, passed=0.0)
    assert level(rarely, 1_000) < level(usual, 1_000) < level(often, 1_000)


def test_a_whole_block_near_the_alarm_level_counts_as_one_pass():
    kept = records(0)
    statistic = np.ones((1, SCALED))
    for mix in [0.9] * 20 + [0.1] * 20 + [0.1] * 19 + [5.0]:
        reference = calibration.references(kept, COLUMNS.floors, 0.3)
        calibration.learn(kept, statistic, reference, np.array([mix]), np.array([True]), block=20)
    assert kept.passed[0] == 2
    assert kept.passed_excess[0] == pytest.approx(0.9 + calibration.HIGHEST - 2 * calibration.ALARM)


def test_if_no_rate_is_configured_only_alarms_raise_the_level():
    assert level(records(10_000, passed=200.0), 400, rate_is_set=False) == level(records(10_000), 400, False)
    assert level(records(1_000, alarms=20.0), 400, rate_is_set=False) > level(records(1_000), 400, False)
