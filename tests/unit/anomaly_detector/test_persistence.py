"""The persistence of a group's anomaly, by the distance of the channels with which it began."""

import numpy as np
import pytest

from edge_components.anomaly_detector.columns import to_arrays
from edge_components.anomaly_detector.multivariate import baseline
from edge_components.anomaly_detector.multivariate.persistence import Persistence, distance_from
from edge_components.anomaly_detector.multivariate.recovery import FIRST_ROWS


def after(distances):
    """Return the persistence of an anomaly with these distances."""
    persistence = Persistence.empty(3)
    persistence.begin(np.array([9.0, 0.5, 9.0, 0.0, 0.0, 0.0]))
    for row, distance in enumerate(distances, start=1):
        persistence.lasts(distance, row, 1.0)
    return persistence


@pytest.mark.parametrize(("distance", "lasts"), [(4.3, True), (4.1, False), (0.9, False)])
def test_an_anomaly_lasts_while_most_of_its_usual_distance_is_left(distance, lasts):
    assert after([6.0] * 30).lasts(distance, 31, 1.0) is lasts


def test_an_anomaly_does_not_last_below_the_alarm_level():
    assert not after([1.2] * 30).lasts(0.9, 31, 1.0)
    assert after([1.2] * 30).lasts(0.9, 31, 0.8)


def test_a_slow_decrease_is_compared_with_the_first_distance():
    fading = after([8.0] * FIRST_ROWS + [8.0 * 0.99**row for row in range(100)])
    assert not fading.lasts(5.0, 111, 1.0)


def test_only_steady_channels_that_deviated_at_the_onset_are_counted():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(400, 3))
    rows[:, 2] = np.cumsum(rows[:, 2])
    fitted, _ = baseline.fit(rows)
    counted = after([2.0]).counted(fitted)
    assert counted.tolist() == [True, False, False]
    level = np.zeros(3)
    means = np.zeros((len(baseline.SPANS), 3))
    means[:, 1:] = 50.0
    assert distance_from(fitted, means, [level], counted) < 0.1
    means[:, 0] = 3.0
    assert distance_from(fitted, means, [level], counted) > 1.0
    assert distance_from(fitted, means, [level, np.array([3.0, 0.0, 0.0])], counted) < 0.1
    assert distance_from(fitted, means, [level], np.zeros(3, np.bool_)) == 0.0


def test_state_of_another_layout_is_rejected():
    arrays = to_arrays(after([2.0])) | {"persistence.distances": np.zeros(3)}
    with pytest.raises(ValueError, match=r"persistence\.distances is float64 \(3,\)"):
        Persistence.read(arrays, 3)
