"""What single experts see, and how the alarm level follows from the setting and from what a series does."""

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate import calibration, experts
from edge_components.anomaly_detector.univariate.calibration import Records
from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.experts import LEVEL, MEASURED, SHIFT, Windows
from edge_components.anomaly_detector.univariate.settings import Settings


def statistics_of(values, settings):
    """Return [windows, series, MEASURED]: what the experts say of [windows, series]."""
    seen = []
    ensemble = Ensemble(settings)
    ensemble.add_series([None] * values.shape[1])
    none, one = np.zeros(values.shape[1]), np.ones(values.shape[1])
    for row, value in enumerate(values):
        found = experts.look(
            ensemble.experts,
            Windows(value, value, value, none, one, one * row),
            settings,
            settings.spans,
            lambda terms, _: np.zeros(len(terms)),
        )
        seen.append(found.statistic.copy())
    return np.array(seen)


def bursty(rows, step):
    """Return a quiet series with wild bursts in one row of seven, and a small step after half of the rows."""
    rng = np.random.default_rng(8)
    values = rng.normal(0, 0.1, rows)
    values[rng.random(rows) < 1 / 7] += 8.0
    values[rows // 2 :] += step
    return values[:, None]


def test_a_shift_that_bursts_hide_from_the_mean_is_seen_by_the_quartiles():
    settings = Settings(calibration=300)
    found = statistics_of(bursty(600, step=0.6), settings)[100:, 0]
    before, after = found[:200], found[200:290]
    assert after[:, SHIFT].max() > 2 * before[:, SHIFT].max()
    assert after[:, LEVEL].max() < 2 * before[:, LEVEL].max()


def test_a_shift_is_the_distance_of_the_nearer_quartile_from_the_median_before():
    settings = Settings(calibration=300)
    span = settings.spans.level
    values = np.concatenate((np.full(2 * span, 5.0), np.linspace(6.0, 9.0, span)))[:, None]
    found = statistics_of(values, settings)[-1, 0, SHIFT]
    assert found == pytest.approx(np.sort(values[-span:, 0])[span // 4] - 5.0)


def test_a_few_bursts_are_no_shift():
    settings = Settings(calibration=300)
    values = np.zeros((300, 1))
    values[200:206] = 50.0
    assert np.nanmax(statistics_of(values, settings)[:, 0, SHIFT]) == 0.0


def test_short_calibrations_have_no_shift():
    settings = Settings(calibration=60)
    assert np.isnan(statistics_of(bursty(200, step=0.6), settings)[:, 0, SHIFT]).all()


def records(windows, passed=0.0, alarms=0.0):
    kept = Records.empty(1, dict.fromkeys(("first", "second", "current", "held"), (MEASURED,)))
    kept.windows[:], kept.passed[:], kept.alarms[:] = windows, passed, alarms
    kept.passed_excess[:] = 0.1 * passed
    return kept


def level(kept, every, seen_counts=True):
    return float(calibration.levels(kept, 60, every, seen_counts)[0])


def test_rarer_alarms_stand_for_a_higher_level():
    found = [level(records(1_000), every) for every in (100, 1_000, 10_000)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_a_series_that_passes_the_alarm_level_more_often_than_others_has_its_own_raised():
    usual = records(10_000, passed=10_000 / (60 * calibration.NATURAL))
    often, rarely = records(10_000, passed=200.0), records(10_000, passed=0.0)
    assert level(rarely, 1_000) < level(usual, 1_000) < level(often, 1_000)


def test_what_stays_near_the_alarm_for_a_whole_block_counts_as_one_pass():
    kept = records(0)
    kept.maxima = np.zeros((1, MEASURED, calibration.BLOCKS))
    said = np.ones((1, MEASURED))
    for mix in [0.9] * 20 + [0.1] * 20 + [0.1] * 19 + [5.0]:
        calibration.learn(kept, said, calibration.references(kept), np.array([mix]), np.array([True]), block=20)
    assert kept.passed[0] == 2
    assert kept.passed_excess[0] == pytest.approx(0.9 + calibration.HIGHEST - 2 * calibration.ALARM)


def test_without_a_rate_that_is_set_only_alarms_raise_the_level():
    assert level(records(10_000, passed=200.0), 400, seen_counts=False) == level(records(10_000), 400, False)
    assert level(records(1_000, alarms=20.0), 400, seen_counts=False) > level(records(1_000), 400, False)
