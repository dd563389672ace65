"""The auto-encoders of the detection benchmark detect a broken relation, and the ablation has no forecast."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import detection, detection_models
from benchmarks.detection_data import Group, Recording

CALIBRATE = 200


def related() -> Group:
    """Two channels that follow one load, the second of them the opposite of it in the event; a row is missing."""
    rng = np.random.default_rng(1)
    load = np.sin(np.arange(400) / 5.0)
    second = load.copy()
    second[300:350] *= -1.0
    values = np.stack((load, second), axis=1) + 0.02 * rng.normal(size=(400, 2))
    kept = np.arange(400) != 250
    times = np.arange(400, dtype=np.int64)[kept] * 1000
    return Group("pairs", "rows", [Recording("pair", times, values[kept], CALIBRATE, [(299, 348)])])


def test_auto_encoder_of_the_own_calibration_detects_a_broken_relation() -> None:
    pytest.importorskip("tflite_runtime")
    group = related()
    (scored,) = detection_models.own_calibration(group)
    assert len(scored.score) == len(scored.anomaly) == 399
    assert not scored.anomaly[:CALIBRATE].any()
    assert scored.anomaly[299:349].mean() > 0.5
    assert scored.anomaly[CALIBRATE:295].mean() < 0.2


def test_auto_encoder_of_other_runs_is_for_rigs_only() -> None:
    assert detection_models.other_runs(related()) is None


def test_ablation_has_no_expert_of_the_forecast() -> None:
    rng = np.random.default_rng(2)
    values = np.sin(np.arange(150) * 2 * np.pi / 10) + 0.05 * rng.normal(size=150)
    values[120:130] += 1.0
    one = Recording("one", np.arange(150, dtype=np.int64) * 1000, values[:, None], 60, [(120, 129)])
    group = Group("one", "events", [one])
    (whole,), (without,) = detection.ours(group), detection.without_forecast(group)
    assert not np.array_equal(whole.score, without.score)


def test_the_shipped_model_gives_the_scores_of_numpy() -> None:
    pytest.importorskip("tflite_runtime")
    rng = np.random.default_rng(3)
    one = Recording("one", np.arange(150, dtype=np.int64) * 1000, rng.normal(size=(150, 1)), 60, [])
    group = Group("one", "events", [one])
    (numpy,), (tflite,) = detection.ours(group), detection.with_tflite(group)
    assert np.allclose(numpy.score, tflite.score, atol=1e-3)
