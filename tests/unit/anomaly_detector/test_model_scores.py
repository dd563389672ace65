"""Scores of models from outside as a further cause of the ensemble's scores."""

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.model_scores import ModelScores
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows

CALIBRATION = 20


def step(ensemble, at, model_scores=None, n=2):
    rng = np.random.default_rng(at)
    value = 10 + rng.normal(0, 0.1, n)
    windows = Windows(value, value - 0.1, value + 0.1, np.full(n, 0.05), np.full(n, 5.0), np.full(n, float(at)))
    return ensemble.step(slice(None), (at + 1) * 1000, 1000, windows, model_scores)


def model_scores(*scores):
    return ModelScores(np.array(scores, float), np.full(len(scores), 10.0), np.full(len(scores), 0.5))


@pytest.fixture
def ensemble():
    made = Ensemble(Settings(calibration=CALIBRATION))
    made.add_series([None, None])
    return made


def test_a_model_score_above_the_alarm_level_is_an_anomaly_of_its_series_only(ensemble):
    model = ensemble.experts.index("model")
    for at in range(CALIBRATION + 5):
        step(ensemble, at, model_scores(0.1, 0.1))
    found = step(ensemble, CALIBRATION + 5, model_scores(3.0, np.nan))
    assert found.score[0] == 3.0
    assert found.cause[0] == model
    assert found.causes[0, model] == 3.0
    assert (found.expected[0], found.lower[0], found.upper[0]) == (10.0, 9.5, 10.5)
    assert [change.row for change in found.changes] == [0]
    assert np.isnan(found.causes[1, model])


def test_a_model_score_counts_before_the_series_is_calibrated(ensemble):
    found = step(ensemble, 0, model_scores(1.5, np.nan))
    assert found.score[0] == 1.5
    assert np.isnan(found.score[1])
    assert [change.row for change in found.changes] == [0]
    assert found.value[0] == pytest.approx(10, abs=1)


def test_rows_that_no_model_scores_have_the_same_scores_as_without_models(ensemble):
    other = Ensemble(Settings(calibration=CALIBRATION))
    other.add_series([None, None])
    for at in range(CALIBRATION + 20):
        one, two = step(ensemble, at), step(other, at, ModelScores.unscored(2))
        assert np.array_equal(one.score, two.score, equal_nan=True)
        assert np.array_equal(one.causes, two.causes, equal_nan=True)


def test_an_earlier_window_is_not_scored_by_models_either(ensemble):
    step(ensemble, 5)
    assert np.isnan(step(ensemble, 4, model_scores(9.0, 9.0)).score).all()


def test_of_two_models_the_higher_score_counts_with_its_expected_value():
    low, high = model_scores(0.5, np.nan, np.nan), ModelScores(*(np.array([2.0, 1.0, np.nan]) for _ in range(3)))
    for one, two in ((low, high), (high, low)):
        found = one.maximum(two)
        np.testing.assert_array_equal(found.score, [2.0, 1.0, np.nan])
        assert found.expected[0] == 2.0
