"""An end of the range that is not reached any more is detected, though single values and their mean are usual."""

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.experts.envelope import SHORTEST, STRETCHES, Envelope
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows

CALIBRATION = STRETCHES * SHORTEST
SETTINGS = Settings(calibration=CALIBRATION, false_alarms_per_month=None)
CHANGE = CALIBRATION + 120


def pulses(rows: int, seed: int = 4) -> np.ndarray:
    """Return pulses of height 1 and irregular distance above noise that is small."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.0, 0.02, rows)
    at = 0
    while at < rows:
        values[at : at + 3] += 1.0
        at += int(rng.integers(8, 16))
    return values


def scores(values: np.ndarray, settings: Settings = SETTINGS) -> np.ndarray:
    """Return the scores [rows, 2] of the highest and the lowest values; NaN during the calibration."""
    ensemble = Ensemble(settings)
    ensemble.add_series([None])
    columns = [ensemble.experts.index("top"), ensemble.experts.index("bottom")]
    none, one = np.zeros(1), np.ones(1)
    found = []
    for row, value in enumerate(values):
        mean = np.array([value])
        step = ensemble.step(slice(None), row + 1, 1, Windows(mean, mean, mean, none, one, one * row))
        found.append(step.causes[0, columns])
    return np.array(found)


def test_pulses_that_stop_are_an_anomaly_of_the_top_after_twice_the_span() -> None:
    values = pulses(CHANGE + 100)
    values[CHANGE:] = np.random.default_rng(5).normal(0.0, 0.02, 100)
    top, bottom = scores(values).T
    assert np.nanmax(top[:CHANGE]) < 0.5
    first = np.flatnonzero(np.nan_to_num(top) >= 1.0)[0]
    assert CHANGE + SHORTEST < first <= CHANGE + 2 * SHORTEST
    assert np.nanmax(bottom) < 0.5


def test_a_floor_that_rises_between_the_pulses_is_an_anomaly_of_the_bottom() -> None:
    values = pulses(CHANGE + 100)
    values[CHANGE:] = np.maximum(values[CHANGE:], 0.5)
    top, bottom = scores(values).T
    assert np.nanmax(bottom[:CHANGE]) < 0.5
    assert bottom[CHANGE + 2 * SHORTEST] >= 1.0
    assert np.nanmax(top) < 0.5


def test_a_pause_is_usual_if_the_calibration_has_as_long_ones() -> None:
    values = pulses(CHANGE + 100)
    for first in (*range(60, CALIBRATION, 150), CHANGE):
        values[first : first + 2 * SHORTEST + 4] = 0.0
    assert np.nanmax(scores(values)) < 1.0


def test_a_change_of_level_moves_both_ends_and_is_no_anomaly_of_the_range() -> None:
    values = pulses(CHANGE + 100)
    values[CHANGE:] -= 0.7
    assert np.nanmax(scores(values)) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_noise_and_a_random_walk_are_no_anomaly_of_the_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=3 * CALIBRATION)
    assert np.nanmax(scores(noise)) < 1.0
    assert np.mean(np.nan_to_num(scores(np.cumsum(noise))) >= 1.0) < 0.01


def test_values_are_moved_with_the_centre_from_the_change_on() -> None:
    expert = Envelope(SETTINGS)
    state = expert.new_state(2)
    state.last[:] = np.arange(2 * SHORTEST)
    expert.recentre(state, np.array([1]), np.array([5.0]), np.array([10]))
    np.testing.assert_array_equal(state.last[0], np.arange(2 * SHORTEST))
    np.testing.assert_array_equal(state.last[1, :-10], np.arange(2 * SHORTEST - 10))
    np.testing.assert_array_equal(state.last[1, -10:], np.arange(2 * SHORTEST - 10, 2 * SHORTEST) - 5.0)


def test_a_shorter_calibration_has_no_spans_and_no_state() -> None:
    short = Settings(calibration=CALIBRATION - 1, false_alarms_per_month=None)
    assert np.isnan(scores(pulses(CALIBRATION + 50), short)).all()
    assert Envelope(short).new_state(3).last.shape == (3, 0)
