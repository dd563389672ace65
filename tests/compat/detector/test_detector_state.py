"""State written by an earlier version loads, and detection continues from it with the same scores."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge_components.anomaly_detector import component, state_file
from edge_components.anomaly_detector.model_runtime.group_scorer import GroupScorer
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from edge_components.anomaly_detector.model_runtime.model_store import ModelStore
from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.ensemble_state import FIRST_NAMES
from edge_components.anomaly_detector.univariate.experts import EXPERTS
from tests.compat.detector.continuation import CONFIGURATIONS, Detector
from tests.unit.anomaly_detector.group_models import CHANNELS, offer

STATE = Path(__file__).parent / "state"
RESTART = 200
"""Window at which the earlier version was stopped."""


@pytest.fixture(autouse=True)
def _experts_of_the_earlier_version(monkeypatch):
    """Leave out the experts that the earlier version did not have: their statistics change every score."""
    experts = tuple(expert for expert in EXPERTS if set(expert.statistics) <= set(FIRST_NAMES))
    monkeypatch.setattr(component, "Ensemble", partial(Ensemble, experts=experts))


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_scores_and_reports_continue_from_the_state_of_an_earlier_version(name, tmp_path):
    shutil.copy(STATE / f"{name}-calibration.npz", tmp_path / "calibration.npz")
    with np.load(STATE / f"{name}-continuation.npz") as kept:
        mean, expected, reports = kept["mean"], kept["score"], kept["reports"].tolist()
    detector = Detector(tmp_path, CONFIGURATIONS[name])
    seconds = range(RESTART, RESTART + len(mean))
    for second, values in zip(seconds, mean, strict=True):
        detector.send(second, values)
    assert detector.runtime.counters["state_rejected"] == 0
    np.testing.assert_array_equal(detector.scores(seconds), expected)
    assert detector.reports() == reports
    assert np.isfinite(expected[:, :3]).all(), "calibrated series are scored from the first window on"


def read_state(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    found = state_file.read(path)
    assert found is not None
    return found


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_saving_the_loaded_state_again_loses_nothing(name, tmp_path):
    shutil.copy(STATE / f"{name}-calibration.npz", tmp_path / "calibration.npz")
    detector = Detector(tmp_path, CONFIGURATIONS[name])
    names, before = read_state(tmp_path / "calibration.npz")
    detector.component._save()
    names_after, after = read_state(tmp_path / "calibration.npz")
    assert names_after == names
    del before["experts.history"]  # computed from the calibration windows
    assert set(before) <= set(after)
    for key, array in before.items():
        np.testing.assert_array_equal(after[key], array, err_msg=key)


def test_the_levels_of_a_group_model_continue_from_the_state_of_an_earlier_version(tmp_path):
    def channel_mean(windows):
        return np.repeat(windows.mean(axis=2, keepdims=True), windows.shape[2], axis=2).reshape(len(windows), -1)

    scorer = GroupScorer(GroupManifest.read(offer(tmp_path)), channel_mean, 40, 1e-5, 1000, 10)
    scorer.restore(*read_state(STATE / "model-levels.npz"))
    with np.load(STATE / "model-continuation.npz") as kept:
        mean, expected = kept["mean"], kept["score"]
    names = [f"{device}.{channel}" for device in ("pump1", "pump2") for channel in CHANNELS]
    opinions = [scorer(names, np.arange(6), (90 + row) * 1000, 1000, values) for row, values in enumerate(mean)]
    assert None not in opinions
    np.testing.assert_array_equal([opinion.score for opinion in opinions if opinion is not None], expected)


def test_the_record_of_models_of_an_earlier_version_is_read(tmp_path):
    shutil.copy(STATE / "models-state.json", tmp_path / "state.json")
    store = ModelStore(tmp_path)
    assert store.open() == []
    body = json.loads((STATE / "models-state.json").read_text())["pump"]
    assert store.group("pump").live == body["live"]
    assert store.group("pump").previous == body["former"]
    assert store.group("pump").rejected == body["refused"] == {"3dd86ecd151ced7d": "output is not finite"}
    assert (store.group("fan").unproven, store.group("fan").failures) == ("0123456789abcdef", 1)
