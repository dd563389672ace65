"""An anomaly's life: drift is told apart, nothing is learned meanwhile, and alarms come as often as they are set to."""

import numpy as np
import pytest

from edge_components.anomaly_detector import calibration
from edge_components.anomaly_detector.ensemble import MONTH_MS, Ensemble
from edge_components.anomaly_detector.experts import Windows
from edge_components.anomaly_detector.spans import Settings
from wire.model import Phase

WIDTH_MS = 60_000


def run(values, settings):
    """Score [windows, series]; returns scores and changes as (window, series, phase, drifted)."""
    ensemble = Ensemble(settings)
    n = values.shape[1]
    ensemble.add_series([None] * n)
    scores, changes = np.full(values.shape, np.nan), []
    for at, value in enumerate(values):
        windows = Windows(value, value, value, np.zeros(n), np.ones(n), np.full(n, float(at)))
        step = ensemble.step(slice(None), (at + 1) * WIDTH_MS, WIDTH_MS, windows)
        scores[at] = step.score
        changes += [(at, int(step.index[c.row]), c.phase, c.drifted) for c in step.changes]
    return scores, changes, ensemble


def test_a_series_that_settles_at_a_new_level_ends_as_drift_and_is_calibrated_on_it():
    values = np.random.default_rng(3).normal(0, 1, (400, 1))
    values[150:] += 40.0
    scores, changes, _ = run(values, Settings(calibration=60, drift_windows=80, end_windows=5))
    told = [(at, phase, drifted) for at, _, phase, drifted in changes if phase is not Phase.UPDATE]
    assert told[0] == (150, Phase.ONSET, False)
    assert told[1][1:] == (Phase.END, True)
    assert 225 <= told[1][0] <= 235
    assert np.isfinite(scores[60:]).all()
    assert (scores[235:] < 1).all()


def test_a_series_that_comes_back_ends_without_drift():
    values = np.random.default_rng(3).normal(0, 1, (300, 1))
    values[150:170] += 40.0
    _, changes, _ = run(values, Settings(calibration=60, drift_windows=200))
    phases = [(phase, drifted) for _, _, phase, drifted in changes if phase is not Phase.UPDATE]
    assert phases == [(Phase.ONSET, False), (Phase.END, False)]


def test_nothing_is_learned_during_an_anomaly():
    values = np.random.default_rng(3).normal(0, 1, (200, 1))
    values[150:] += 40.0
    _, _, before = run(values[:152], Settings(calibration=60))
    _, _, after = run(values, Settings(calibration=60))
    assert after.tracks.active[0]
    assert np.array_equal(calibration.references(before.records), calibration.references(after.records))
    assert before.records.windows[0] == after.records.windows[0]


@pytest.mark.parametrize("kind", ["normal", "laplace"])
def test_false_alarms_come_within_a_factor_of_three_of_the_setting(kind):
    every, series, rows = 500, 60, 1500
    values = getattr(np.random.default_rng(4), kind)(size=(rows, series))
    rate = MONTH_MS / WIDTH_MS / every
    _, changes, _ = run(values, Settings(calibration=100, false_alarms_per_month=rate))
    alarms = sum(phase is Phase.ONSET for _, _, phase, _ in changes)
    assert 1 / 3 <= alarms / (series * (rows - 100) / every) <= 3
