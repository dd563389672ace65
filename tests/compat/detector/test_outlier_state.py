"""State of a version with the first limit of outliers, without discords and weekdays, is read by this version."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_components.anomaly_detector import state_file
from edge_components.anomaly_detector.univariate.calibration import BY_STATISTIC
from edge_components.anomaly_detector.univariate.experts.outlier import Outlier
from tests.compat.detector.continuation import CONFIGURATIONS, Detector

SAVED = Path(__file__).parent / "state" / "outlier-1-calibration.npz"
RESTART = 200
"""Window at which the earlier version was stopped; its series have cycles of 24 windows."""


@pytest.fixture
def detector(tmp_path):
    shutil.copy(SAVED, tmp_path / "calibration.npz")
    return Detector(tmp_path, CONFIGURATIONS["long"])


def state_of(detector):
    found = state_file.read(detector.runtime.work / "calibration.npz")
    assert found is not None
    return found[1]


def test_the_saved_state_is_of_the_first_version():
    found = state_file.read(SAVED)
    assert found is not None
    assert b'"outlier": 1' in found[1]["experts.list"].tobytes()
    assert b"discord" not in found[1]["experts.list"].tobytes()
    assert Outlier.version > 1


def test_outliers_and_discords_are_fitted_on_the_saved_windows_and_the_rest_is_kept(detector):
    before = state_of(detector)
    detector.component._save()
    after = state_of(detector)
    assert detector.runtime.counters["state_rejected"] == 0
    for key, array in before.items():
        if key in {f"records.{field}" for field in BY_STATISTIC}:  # this version has one more statistic, the last
            np.testing.assert_array_equal(after[key][:, :-1], array, err_msg=key)
        elif not key.startswith(("experts.outlier.", "experts.list", "tracks.cause")):
            np.testing.assert_array_equal(after[key], array, err_msg=key)
    assert np.isfinite(after["experts.outlier.location"]).all()
    assert (after["experts.outlier.rare"] > 1.0).all()
    assert (np.isfinite(after["experts.discord.greatest"]).sum(axis=1) >= 4).all()
    assert np.abs(after["experts.discord.changes"]).max(axis=1).min() > 0.1


def test_scoring_continues_from_the_saved_state(detector):
    usual = np.array([5.0, 20.0, -2.0, 0.0]), np.array([1.0, 3.0, 0.5, 2.0])
    rng = np.random.default_rng(3)
    for second in range(RESTART, RESTART + 40):
        mean = usual[0] + usual[1] * np.sin(second * 2 * np.pi / 24) + rng.normal(0, 0.05, 4)
        mean[3] += 3.0 if second == RESTART + 30 else 0.0
        detector.send(second, mean)
    scores = detector.scores(range(RESTART, RESTART + 40))
    assert np.isfinite(scores).all()
    assert scores[:30].max() < 1.0
    assert scores[30, 3] >= 1.0
