"""The persistence of a group's anomaly, by the distance of the channels with which it began."""

import numpy as np
import pytest

from edge_components.anomaly_detector.columns import to_arrays
from edge_components.anomaly_detector.multivariate import baseline
from edge_components.anomaly_detector.multivariate.persistence import Persistence, distance_from


def begun():
    """Return the persistence of an anomaly of the first and the third channel."""
    persistence = Persistence.empty(3)
    persistence.begin(np.array([9.0, 0.5, 9.0, 0.0, 0.0, 0.0]))
    return persistence


def test_only_steady_channels_that_deviated_at_the_onset_are_counted():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(400, 3))
    rows[:, 2] = np.cumsum(rows[:, 2])
    fitted, _ = baseline.fit(rows)
    counted = begun().counted(fitted)
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
    arrays = to_arrays(begun()) | {"persistence.onset": np.zeros(3)}
    with pytest.raises(ValueError, match=r"persistence\.onset is float64 \(3,\)"):
        Persistence.read(arrays, 3)
