"""Life cycle of anomalies: drift, no learning meanwhile, and the configured rate of alarms."""

import numpy as np
import pytest

from edge_components.anomaly_detector.reports import report
from edge_components.anomaly_detector.univariate import calibration
from edge_components.anomaly_detector.univariate.ensemble import MONTH_MS, Ensemble
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tracking import Tracks, follow
from edge_components.anomaly_detector.univariate.windows import Windows
from wire.model import Phase, Series

WIDTH_MS = 60_000


def run(values, settings):
    """Score [windows, series]; returns scores and changes as (window, series, phase, drifted)."""
    ensemble = Ensemble(settings)
    ensemble.add_series([None] * values.shape[1])
    return *continued(ensemble, values, 0), ensemble


def continued(ensemble, values, first):
    """Score further windows, beginning with the number ``first``."""
    n = values.shape[1]
    scores, changes = np.full(values.shape, np.nan), []
    for at, value in enumerate(values, start=first):
        windows = Windows(value, value, value, np.zeros(n), np.ones(n), np.full(n, float(at)))
        step = ensemble.step(slice(None), (at + 1) * WIDTH_MS, WIDTH_MS, windows)
        scores[at - first] = step.score
        changes += [(at, int(step.series_ids[c.row]), c.phase, c.drifted) for c in step.changes]
    return scores, changes


@pytest.mark.slow
def test_an_anomaly_of_a_series_that_stays_at_a_new_level_ends_as_drift_and_the_series_is_calibrated_on_it():
    values = np.random.default_rng(3).normal(0, 1, (400, 1))
    values[150:] += 40.0
    scores, changes, _ = run(values, Settings(calibration=60, drift_windows=80, end_windows=5))
    found = [(at, phase, drifted) for at, _, phase, drifted in changes if phase is not Phase.UPDATE]
    assert found[0] == (150, Phase.ONSET, False)
    assert found[1][1:] == (Phase.END, True)
    assert 225 <= found[1][0] <= 235
    assert np.isfinite(scores[60:]).all()
    assert (scores[235:] < 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 3, 6])
def test_a_steady_new_level_becomes_the_centre_after_the_lookback_and_the_next_shift_is_detected(seed: int):
    values = np.random.default_rng(seed).normal(0, 1, (480, 1))
    values[200:] += 40.0
    values[350:] += 40.0
    scores, changes, ensemble = run(values, Settings(calibration=120))
    found = [(at, phase, drifted) for at, _, phase, drifted in changes if phase is not Phase.UPDATE]
    assert [phase for _, phase, _ in found] == [Phase.ONSET, Phase.END] * 2
    lookback = ensemble.experts.lookback
    for shift, onset, end in ((200, found[0], found[1]), (350, found[2], found[3])):
        assert onset[0] == shift
        assert shift + lookback <= end[0] <= shift + lookback + 15
        assert not end[2]
    assert ensemble.series.centre[0] == pytest.approx(80.0, abs=1.5)
    assert (scores[460:] < 1).all()


@pytest.mark.slow
def test_a_level_that_still_moves_does_not_become_the_centre():
    values = np.random.default_rng(3).normal(0, 1, (400, 1))
    values[200:, 0] += 0.5 * np.arange(200)
    _, changes, ensemble = run(values, Settings(calibration=120))
    assert not [phase for _, _, phase, _ in changes if phase is Phase.END]
    assert abs(ensemble.series.centre[0]) < 1.0


@pytest.mark.slow
def test_detection_continues_from_the_state_saved_after_a_centre_moved():
    values = np.random.default_rng(3).normal(0, 1, (400, 1))
    values[200:] += 40.0
    _, _, before = run(values[:330], Settings(calibration=120))
    after = Ensemble(before.settings)
    after.restore(before.state())
    expected, _ = continued(before, values[330:], 330)
    scores, _ = continued(after, values[330:], 330)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert expected.max() < 1.0


@pytest.mark.slow
def test_an_anomaly_of_a_series_that_returns_ends_without_drift():
    values = np.random.default_rng(3).normal(0, 1, (300, 1))
    values[150:170] += 40.0
    _, changes, _ = run(values, Settings(calibration=60, drift_windows=200))
    phases = [(phase, drifted) for _, _, phase, drifted in changes if phase is not Phase.UPDATE]
    assert phases == [(Phase.ONSET, False), (Phase.END, False)]


@pytest.mark.slow
def test_nothing_is_learned_during_an_anomaly():
    values = np.random.default_rng(3).normal(0, 1, (200, 1))
    values[150:] += 40.0
    _, _, before = run(values[:152], Settings(calibration=60))
    _, _, after = run(values, Settings(calibration=60))
    floors = after.experts.floors
    assert after.tracks.active[0]
    at_onset, later = (calibration.references(one.records, floors, one.settings.margin) for one in (before, after))
    assert np.array_equal(at_onset, later)
    assert before.records.windows[0] == after.records.windows[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "laplace"])
def test_false_alarms_come_within_a_factor_of_three_of_the_setting(kind):
    every, series, rows = 500, 60, 1500
    values = getattr(np.random.default_rng(4), kind)(size=(rows, series))
    rate = MONTH_MS / WIDTH_MS / every
    _, changes, _ = run(values, Settings(calibration=100, false_alarms_per_month=rate))
    alarms = sum(phase is Phase.ONSET for _, _, phase, _ in changes)
    assert 1 / 3 <= alarms / (series * (rows - 100) / every) <= 3


@pytest.mark.slow
def test_a_slow_drift_after_a_short_calibration_is_detected_as_a_trend_and_ends():
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, (400, 20))
    values[150:210] += np.linspace(0, 5, 60)[:, None]
    _, changes, ensemble = run(values, Settings(calibration=60, false_alarms_per_month=40.0))
    onsets = {series: at for at, series, phase, _ in reversed(changes) if phase is Phase.ONSET and 150 <= at < 215}
    assert len(onsets) >= 18
    assert np.median(list(onsets.values())) < 200
    assert not ensemble.tracks.active.any()


def test_errors_are_not_cumulated_after_a_long_calibration():
    values = np.random.default_rng(5).normal(0, 1, (300, 3)) + np.arange(300)[:, None] / 50
    _, _, ensemble = run(values, Settings(calibration=120))
    assert not ensemble.state()["experts.rising"].any()
    assert np.isfinite(ensemble.records.second).all()


def changes_of(scores, undisturbed):
    settings = Settings(calibration=60, end_level=0.7, end_windows=3, update_windows=4)
    tracks, found = Tracks.empty(1), []
    for at, score in enumerate(scores):
        changes = follow(tracks, np.array([score]), np.array([0]), at, settings, np.array([undisturbed]), 12)
        found += [(at, change.phase) for change in changes]
    return found


def test_an_anomaly_begins_at_one_is_reported_again_and_ends_once_the_score_stays_low():
    scores = [0.9, 1.2, 0.8, 0.5, 0.5, 0.75, 0.6, 0.6, 0.6, 0.9, 1.1]
    # Shortly after an end, the score must be twice as high to begin another anomaly, unless earlier windows do not
    # change it.
    assert changes_of(scores, undisturbed=False) == [(1, Phase.ONSET), (5, Phase.UPDATE), (8, Phase.END)]
    assert changes_of(scores, undisturbed=True)[-1] == (10, Phase.ONSET)


def test_a_report_has_cause_bounds_onset_and_the_windows_before():
    values = np.random.default_rng(3).normal(20, 1, (160, 1))
    values[150:] += 40.0
    _, _, before = run(values[:150], Settings(calibration=60))
    windows = Windows(*(values[150], values[150], values[150], np.zeros(1), np.ones(1), np.full(1, 150.0)))
    step = before.step(slice(None), 151 * WIDTH_MS, WIDTH_MS, windows)
    series, history = Series("a.x", "V"), before.last_means(0, 16)
    found = report(step, step.changes[0], before.tracks, before.experts, series, WIDTH_MS, history)
    assert (found.series, found.phase, found.direction, found.unit) == ("a.x", Phase.ONSET, "up", "V")
    assert found.cause in found.causes
    assert found.lower is not None
    assert found.upper is not None
    assert found.expected is not None
    assert found.observed is not None
    assert found.lower < found.expected < found.upper < found.observed
    assert found.time_ms - found.onset_ms == WIDTH_MS
    assert found.history == pytest.approx(values[135:151, 0], rel=1e-3)
