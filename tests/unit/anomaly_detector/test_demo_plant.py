"""Detection in a short simulation of the demo: 24 sensors and a host, 25 windows of calibration, nine faults."""

import numpy as np
import pytest

from tests.unit.anomaly_detector.plant import watch

SEEDS = range(12)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs():
    return [watch(seed) for seed in SEEDS]


def test_at_least_half_of_the_faults_of_each_run_are_detected(runs):
    assert min(len(run.detected()) / len(run.faults) for run in runs) >= 0.5


def test_four_faults_in_five_are_detected_on_average(runs):
    assert np.mean([len(run.detected()) / len(run.faults) for run in runs]) >= 0.8


def test_each_run_has_at_most_two_false_alarms(runs):
    assert max(len(run.false_alarms()) for run in runs) <= 2


def test_every_spike_stuck_sensor_and_dropout_is_detected(runs):
    kinds = {"spike", "stuck", "dropout"}
    wanted = [(i, f.series, str(f.kind)) for i, run in enumerate(runs) for f in run.faults if str(f.kind) in kinds]
    missed = [(i, series, kind) for i, series, kind in wanted if (series, kind) not in runs[i].detected()]
    assert missed == []


def test_a_plant_without_faults_has_no_alarms():
    onsets = [onset for seed in SEEDS for onset in watch(seed, faulty=False).onsets]
    assert [onset for onset in onsets if not onset[1].startswith("host.")] == []


def test_scores_are_nan_during_calibration_and_finite_afterwards():
    scores = np.array(watch(3, faulty=False).scores)
    assert np.isnan(scores[:25]).all()
    assert np.isfinite(scores[25:]).all()
    assert (scores[25:] >= 0).all()
