"""Single outliers are detected after a calibration with outliers; frequent ones are usual."""

import numpy as np
import pytest

from edge_components.anomaly_detector.columns import to_arrays
from edge_components.anomaly_detector.univariate import robust_fit
from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.experts.outlier import HEAVY
from edge_components.anomaly_detector.univariate.forecaster import plain_forecast
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows
from tests.examples import some_slow
from wire.model import Phase

CALIBRATION = 420
NOISE = 0.05


def seasonal(rows, seed=5):
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(rows) * 2 * np.pi / 24) + rng.normal(0, NOISE, rows)


def made(calibration=CALIBRATION, season=0):
    ensemble = Ensemble(Settings(calibration=calibration, false_alarms_per_month=None, season=season))
    ensemble.add_series([None])
    return ensemble


def outlier_scores(values, calibration=CALIBRATION):
    return scores_of(made(calibration), values)


def scores_of(ensemble, values, first=0):
    column = ensemble.experts.index("outlier")
    return np.array([causes(ensemble, row, value)[column] for row, value in enumerate(values, start=first)])


def causes(ensemble, row, value):
    return ensemble.step(slice(None), row + 1, 1, window(row, value)).causes[0]


def window(row, value):
    mean, none, one = np.array([value]), np.zeros(1), np.ones(1)
    return Windows(mean, mean, mean, none, one, one * row)


@pytest.mark.slow
def test_outliers_in_the_calibration_do_not_hide_later_ones_and_do_not_score_afterwards():
    values = seasonal(700)
    spikes = [150, 370, 500, 640]
    values[spikes] += 20 * NOISE
    assert np.flatnonzero(outlier_scores(values) >= 1.0).tolist() == spikes[2:]


def test_the_forecasts_are_those_of_the_port_and_so_of_the_model():
    def forecast(terms, weights):
        sums.append(plain_forecast(terms, weights))
        return sums[-1] + added

    sums, added = [], 0.0
    ensemble = made(240)
    ensemble.forecast = forecast
    values = seasonal(301)
    assert scores_of(ensemble, values[:300])[240:].max() < 1.0
    assert len(sums) == 2 * (300 - 240)  # the other one is of the experts whose statistics are scaled
    assert np.abs(sums[-1][0]) < 2.0
    added = 20 * NOISE / ensemble.series.scale[0]
    assert scores_of(ensemble, values[300:], first=300)[0] >= 1.0


@pytest.mark.slow
def test_outliers_that_are_frequent_in_the_calibration_are_usual():
    values = seasonal(800)
    values[20::60] += 20 * NOISE
    values[790] += 100 * NOISE
    assert np.flatnonzero(outlier_scores(values) >= 1.0).tolist() == [790]


@pytest.mark.slow
def test_outliers_that_become_frequent_after_the_calibration_raise_the_limit():
    values = seasonal(1000)
    values[500::40] += 20 * NOISE
    alarms = np.flatnonzero(outlier_scores(values) >= 1.0)
    assert 500 in alarms
    assert alarms.max() < 500 + CALIBRATION // 2


@pytest.mark.slow
def test_heavy_tails_have_few_outliers():
    values = np.exp(2.0 * np.random.default_rng(1).normal(size=1500))
    assert (outlier_scores(values)[CALIBRATION:] >= 1.0).sum() <= 2


@pytest.mark.slow
def test_a_change_of_level_scores_at_its_onset_only():
    values = seasonal(700)
    values[500:] += 3.0
    alarms = np.flatnonzero(outlier_scores(values) >= 1.0)
    assert alarms[0] == 500
    assert alarms[-1] < 550


def test_a_short_calibration_has_no_limit_for_outliers():
    values = seasonal(80)
    assert np.isnan(outlier_scores(values, calibration=60)).all()


@pytest.mark.slow
def test_the_limit_continues_from_saved_state():
    values = seasonal(400, seed=8)
    values[[340, 380]] += 40 * NOISE
    before, after = made(300), made(300)
    scores_of(before, values[:370])
    after.restore(before.state())
    expected = scores_of(before, values[370:], first=370)
    np.testing.assert_array_equal(scores_of(after, values[370:], first=370), expected)
    np.testing.assert_array_equal(after.series.history, before.series.history)
    assert np.flatnonzero(expected >= 1.0).tolist() == [10]


@pytest.mark.parametrize("seed", some_slow(range(4), fast=1))
def test_the_limit_of_normal_errors_is_between_3_and_16_deviations(seed):
    values = seasonal(400, seed)
    values[[330, 360, 390]] += np.array([2, 16, -16]) * NOISE
    assert np.flatnonzero(outlier_scores(values, calibration=300) >= 1.0).tolist() == [360, 390]


@pytest.mark.slow
@pytest.mark.parametrize("calibration", [120, 180, 240])
def test_series_with_normal_errors_have_a_limit_after_a_short_calibration(calibration):
    n = 60
    ensemble = Ensemble(Settings(calibration=calibration, false_alarms_per_month=None))
    ensemble.add_series([None] * n)
    values = np.random.default_rng(7).normal(size=(calibration, n))
    for row, value in enumerate(values):
        none, one = np.zeros(n), np.ones(n)
        ensemble.step(slice(None), row + 1, 1, Windows(value, value, value, none, one, one * row))
    # By chance, most of the greatest errors of a few series have the same sign.
    outlier = [expert.name for expert in ensemble.experts.experts].index("outlier")
    slope = to_arrays(ensemble.states[outlier])["experts.outlier.slope"]
    assert (slope > HEAVY).mean() <= 0.1


@pytest.mark.slow
def test_bursts_in_one_direction_are_usual():
    rng = np.random.default_rng(3)
    values = np.abs(rng.normal(size=400))
    values[350] = 20.0
    assert (outlier_scores(values, calibration=300)[300:] == 0.0).all()


@pytest.mark.slow
def test_an_outlier_leaves_the_state_of_the_other_experts_as_if_it_had_not_been():
    values = seasonal(360, seed=8)
    same, spiked = made(300, season=24), made(300, season=24)
    for ensemble in (same, spiked):
        scores_of(ensemble, values[:330])
    outlier = values[330] + 40 * NOISE
    assert causes(spiked, 330, outlier)[spiked.experts.index("forecast")] > 1.5
    causes(same, 330, values[330])
    assert np.abs(spiked.series.history - same.series.history).max() < 0.5
    for one, other, expert in zip(spiked.states, same.states, spiked.experts.experts, strict=True):
        if expert.name in ("noise", "forecast", "season"):
            for field, changed in to_arrays(one).items():
                difference = np.abs(changed - to_arrays(other)[field])
                assert np.nanmax(difference) < 0.5, field


@pytest.mark.slow
def test_the_next_outlier_is_a_new_anomaly():
    values = seasonal(400, seed=8)
    spikes = [320, 345]
    values[spikes] += 20 * NOISE
    ensemble, onsets = made(300), []
    for row, value in enumerate(values):
        step = ensemble.step(slice(None), row + 1, 1, window(row, value))
        onsets += [row for change in step.changes if change.phase is Phase.ONSET]
    assert onsets == spikes


def test_outliers_do_not_change_the_robust_fit():
    clean = seasonal(CALIBRATION)
    soiled = clean.copy()
    soiled[[50, 160, 270, 380]] += 4.0
    weights, errors, _, _ = robust_fit.fit(clean, 48)
    same, soiled_errors, cleaned, replaced = robust_fit.fit(soiled, 48)
    history = clean[-48:]
    forecasts = [one[0] + history @ one[1:] for one in (weights, same)]
    assert forecasts[0] == pytest.approx(forecasts[1], abs=NOISE)
    assert np.abs(cleaned - clean).max() < 10 * NOISE
    assert np.median(np.abs(soiled_errors)) == pytest.approx(np.median(np.abs(errors)), rel=0.1)
    assert np.abs(soiled_errors[[50, 160, 270, 380]] - 4.0).max() < 10 * NOISE
    assert np.flatnonzero(replaced).tolist() == [50, 160, 270, 380]


@pytest.mark.slow
def test_cycles_of_another_size_have_a_mean_error_over_its_limit_for_longer_than_single_errors():
    values = np.sin(np.arange(600) * 2 * np.pi / 24) + np.random.default_rng(1).normal(0, 3 * NOISE, 600)
    values[500:] += 0.6 * np.sin(np.arange(500, 600) * 2 * np.pi / 24)
    ensemble = made()
    scores = np.array([causes(ensemble, row, value) for row, value in enumerate(values)])
    single, mean = (scores[CALIBRATION:, ensemble.experts.index(name)] for name in ("outlier", "misfit"))
    assert mean[:80].max() < 0.7
    assert 80 < np.flatnonzero(mean >= 1.0)[0] < 80 + 24
    assert (mean >= 1.0).sum() > 3 * (single >= 1.0).sum()


@pytest.mark.slow
def test_the_expected_value_of_a_mean_error_shows_the_whole_error():
    values = seasonal(540, seed=9)
    values[500:] += 0.02 * np.arange(40)
    ensemble = made()
    for row, value in enumerate(values):
        step = ensemble.step(slice(None), row + 1, 1, window(row, value))
    assert step.cause[0] == ensemble.experts.index("misfit")
    assert step.value[0] - step.expected[0] > 10 * NOISE


@pytest.mark.slow
def test_the_forecaster_is_fitted_again_after_a_calibrations_length():
    rows = np.arange(3 * CALIBRATION)
    period = np.where(rows < CALIBRATION + 10, 24, 30)
    values = np.sin(2 * np.pi * np.cumsum(1 / period)) + np.random.default_rng(2).normal(0, NOISE, len(rows))
    ensemble, misfit = made(), []
    for row, value in enumerate(values):
        misfit.append(causes(ensemble, row, value)[ensemble.experts.index("misfit")])
        ensemble.tracks.active[:] = False  # as if the change had been accepted, so that a fit is due
    before, after = misfit[2 * CALIBRATION - 50 : 2 * CALIBRATION], misfit[-50:]
    assert np.median(after) < 0.5 * np.median(before)
