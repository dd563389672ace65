"""What models from outside say, as a further cause of the ensemble's scores."""

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.experts import MODEL, Windows
from edge_components.anomaly_detector.univariate.model_scores import Opinion
from edge_components.anomaly_detector.univariate.settings import Settings

CALIBRATION = 20


def step(ensemble, at, opinion=None, n=2):
    rng = np.random.default_rng(at)
    value = 10 + rng.normal(0, 0.1, n)
    windows = Windows(value, value - 0.1, value + 0.1, np.full(n, 0.05), np.full(n, 5.0), np.full(n, float(at)))
    return ensemble.step(slice(None), (at + 1) * 1000, 1000, windows, opinion)


def opinion(*scores):
    return Opinion(np.array(scores, float), np.full(len(scores), 10.0), np.full(len(scores), 0.5))


@pytest.fixture
def ensemble():
    made = Ensemble(Settings(calibration=CALIBRATION))
    made.add_series([None, None])
    return made


def test_an_opinion_above_the_level_is_an_anomaly_of_its_series_alone(ensemble):
    for at in range(CALIBRATION + 5):
        step(ensemble, at, opinion(0.1, 0.1))
    found = step(ensemble, CALIBRATION + 5, opinion(3.0, np.nan))
    assert found.score[0] == 3.0
    assert found.cause[0] == MODEL
    assert found.causes[0, MODEL] == 3.0
    assert (found.expected[0], found.lower[0], found.upper[0]) == (10.0, 9.5, 10.5)
    assert [change.row for change in found.changes] == [0]
    assert np.isnan(found.causes[1, MODEL])


def test_an_opinion_counts_before_the_series_has_collected_enough(ensemble):
    found = step(ensemble, 0, opinion(1.5, np.nan))
    assert found.score[0] == 1.5
    assert np.isnan(found.score[1])
    assert [change.row for change in found.changes] == [0]
    assert found.value[0] == pytest.approx(10, abs=1)


def test_without_a_model_nothing_changes(ensemble):
    other = Ensemble(Settings(calibration=CALIBRATION))
    other.add_series([None, None])
    for at in range(CALIBRATION + 20):
        one, two = step(ensemble, at), step(other, at, Opinion.none(2))
        assert np.array_equal(one.score, two.score, equal_nan=True)
        assert np.array_equal(one.causes, two.causes, equal_nan=True)


def test_a_window_that_came_before_has_no_score_whatever_the_model_says(ensemble):
    step(ensemble, 5)
    assert np.isnan(step(ensemble, 4, opinion(9.0, 9.0)).score).all()
