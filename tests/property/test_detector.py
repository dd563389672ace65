"""The detector accepts all values that an aggregate can have, and its results are scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_components.anomaly_detector.univariate import forecaster
from edge_components.anomaly_detector.univariate.ensemble import GREATEST, Ensemble
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tracking import Tracks, follow
from edge_components.anomaly_detector.univariate.windows import Windows
from strandline.recorded import offline
from tests.examples import examples
from wire.model import Phase

CALIBRATION = 14
FINITE = st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, -1e-300, 1e300, -1e300, np.nan])


def run(values, whole=True):
    """Score [windows, series], with ``whole`` in one step for each window, otherwise one series at a time."""
    n = values.shape[1]
    ensemble = Ensemble(Settings(calibration=CALIBRATION, drift_windows=10))
    ensemble.add_series([None] * n)
    scores = np.full(values.shape, np.nan)
    for at, row in enumerate(values):
        for index in [np.arange(n)] if whole else [np.array([k]) for k in range(n)]:
            value, k = row[index], len(index)
            windows = Windows(value, value, value, np.zeros(k), np.ones(k), np.full(k, float(at)))
            scores[at, index] = ensemble.step(index, 1000 * at, 1000, windows).score
        ensemble.silent(1000 * at)
    return scores, ensemble


@pytest.mark.slow
@settings(max_examples=examples(30), deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(15, 45), st.integers(1, 3)), elements=FINITE))
def test_scores_are_nan_or_within_their_range(values):
    scores, _ = run(values)
    known = scores[np.isfinite(scores)]
    assert ((known >= 0) & (known <= GREATEST)).all()
    assert np.isnan(scores[:CALIBRATION]).all()


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None)
@given(arrays(np.float64, (30, 3), elements=st.floats(-1e6, 1e6)))
def test_series_are_scored_independently(values):
    together, _ = run(values)
    apart, _ = run(values, whole=False)
    assert np.allclose(together, apart, rtol=1e-6, atol=1e-9, equal_nan=True)


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None)
@given(arrays(np.float64, (30, 2), elements=st.floats(-1e6, 1e6)), st.integers(1, 29))
def test_scores_are_the_same_after_a_restart(values, cut):
    straight, _ = run(values)
    _, before = run(values[:cut])
    after = Ensemble(before.settings)
    after.restore(before.state())
    for at in range(cut, len(values)):
        windows = Windows(values[at], values[at], values[at], np.zeros(2), np.ones(2), np.full(2, float(at)))
        score = after.step(np.arange(2), 1000 * at, 1000, windows).score
        assert np.array_equal(score, straight[at], equal_nan=True)


def refit_without(values, lags, row):
    """Return the error at ``row`` of a ridge fit on all other rows of lags, solved as least squares.

    None for a row with more leverage than the forecaster takes into account.
    """
    clipped = np.clip(values, -forecaster.CLIP, forecaster.CLIP)
    x = np.array([np.concatenate(([1.0], clipped[at - lags : at])) for at in range(lags, len(values))])
    kept = np.delete(np.arange(len(x)), row - lags)
    penalty = np.diag(np.sqrt([1e-6] + [forecaster.RIDGE * len(values)] * lags))
    if x[row - lags] @ np.linalg.solve(x.T @ x + penalty**2, x[row - lags]) > forecaster.MAX_LEVERAGE - 1e-3:
        return None
    left, right = np.vstack((x[kept], penalty)), np.concatenate((clipped[lags:][kept], np.zeros(lags + 1)))
    beta = np.linalg.lstsq(left, right, rcond=None)[0]
    return values[row] - x[row - lags] @ beta


@settings(max_examples=examples(40), deadline=None)
@given(arrays(np.float64, st.integers(20, 60), elements=st.floats(-5, 5)), st.integers(2, 6), st.data())
def test_left_out_errors_are_those_of_a_fit_without_the_row(values, lags, data):
    _, errors = forecaster.fit(values, lags)
    assert np.isnan(errors[:lags]).all()
    for row in data.draw(st.sets(st.integers(lags, len(values) - 1), min_size=3, max_size=3)):
        expected = refit_without(values, lags, row)
        assert expected is None or errors[row] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(0, 3) | st.just(np.nan), max_size=80))
def test_an_anomaly_begins_once_and_ends_once(scores):
    tracks, config = Tracks.empty(1), Settings(calibration=14, end_windows=3, drift_windows=12)
    phases = []
    for at, score in enumerate(scores):
        changes = follow(tracks, np.array([score]), np.array([1]), at, config, np.zeros(1, np.bool_), 12)
        phases += [change.phase for change in changes if change.phase is not Phase.UPDATE]
    assert all(phase is (Phase.ONSET, Phase.END)[at % 2] for at, phase in enumerate(phases))


@pytest.mark.slow
@settings(max_examples=examples(15), deadline=None)
@given(arrays(np.float64, (40, 2), elements=st.floats(-100, 100)), st.integers(16, 39))
def test_scores_of_a_table_do_not_depend_on_later_rows(values, cut):
    time_ms = np.arange(40) * 1000
    whole = offline.score(time_ms, values, ["a", "b"], 15)
    part = offline.score(time_ms[:cut], values[:cut], ["a", "b"], 15)
    assert np.array_equal(whole.score[:cut], part.score)
