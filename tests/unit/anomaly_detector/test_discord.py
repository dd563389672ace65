"""A shape that differs from all before is detected, though its values and its level are usual."""

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.experts.discord import nearest_distances
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tail_limit import BLOCKS, Tail, rare_depth, usual_value
from edge_components.anomaly_detector.univariate.windows import Windows

CALIBRATION, PERIOD = 200, 20


def periodic(rows, seed=3, noise=0.05):
    """Return a sawtooth, whose values are evenly distributed over its range."""
    return np.arange(rows) % PERIOD / PERIOD + np.random.default_rng(seed).normal(0, noise, rows)


def made(calibration=CALIBRATION):
    ensemble = Ensemble(Settings(calibration=calibration, false_alarms_per_month=None))
    ensemble.add_series([None])
    return ensemble


def scores_of(ensemble, values, first=0):
    column = ensemble.experts.index("discord")
    none, one = np.zeros(1), np.ones(1)
    found = []
    for row, value in enumerate(values, start=first):
        mean = np.array([value])
        step = ensemble.step(slice(None), row + 1, 1, Windows(mean, mean, mean, none, one, one * row))
        found.append(step.causes[0, column])
    return np.array(found)


def state_of(ensemble):
    return ensemble.states[[expert.name for expert in ensemble.experts.experts].index("discord")]


def test_a_reversed_cycle_is_a_discord_and_the_cycles_before_it_are_not():
    values = periodic(330)
    values[260:280] = values[260:280][::-1]
    alarms = np.flatnonzero(scores_of(made(), values) >= 1.0)
    assert 260 <= alarms[0] < 280
    assert alarms[-1] < 280 + 33


@pytest.mark.slow
def test_a_shape_that_occurred_in_the_last_calibration_is_no_discord():
    values = periodic(420)
    values[260:280] = values[260:280][::-1]
    values[360:380] = values[260:280]
    scores = scores_of(made(), values)
    assert scores[260:313].max() >= 1.0
    assert scores[360:].max() < 1.0


@pytest.mark.slow
def test_a_change_of_level_is_no_discord_beyond_its_onset():
    values = periodic(330)
    values[260:] += 0.5
    alarms = np.flatnonzero(scores_of(made(), values) >= 1.0)
    assert ((alarms >= 260) & (alarms < 300)).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_random_walk_has_at_most_one_discord(seed):
    values = np.cumsum(np.random.default_rng(seed).normal(size=900))
    alarms = scores_of(made(), values)[CALIBRATION:] >= 1.0
    assert np.count_nonzero(np.diff(alarms.astype(int)) > 0) <= 1


@pytest.mark.slow
def test_a_series_whose_shapes_have_changed_for_good_gets_another_limit():
    values = periodic(700)
    values[260:] += np.random.default_rng(9).normal(0, 0.5, 440)
    alarms = scores_of(made(), values) >= 1.0
    assert alarms[260:300].any()
    assert not alarms[-150:].any()


def test_distances_are_those_to_the_nearest_shape_of_a_calibration_before():
    ensemble, values = made(), periodic(290)
    values[230] += 3.0
    scores_of(ensemble, values)
    expert = next(one for one in ensemble.experts.experts if one.name == "discord")
    state, length = state_of(ensemble), expert._length
    changes = state.changes[0].astype(np.float64)
    shapes = np.lib.stride_tricks.sliding_window_view(changes, length)
    squares = np.square(shapes[:-length] - shapes[-1]).sum(axis=1)
    np.testing.assert_allclose(state.squares[0], squares, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_an_outlier_is_not_part_of_a_shape():
    same, spiked = made(300), made(300)
    values = np.sin(np.arange(340) * 2 * np.pi / 24) + np.random.default_rng(5).normal(0, 0.05, 340)
    scores_of(same, values[:320])
    scores_of(spiked, values[:320])
    scores_of(same, values[320:321], first=320)
    scores_of(spiked, values[320:321] + 2.0, first=320)
    assert np.abs(state_of(spiked).changes - state_of(same).changes).max() < 0.5
    np.testing.assert_allclose(state_of(spiked).squares, state_of(same).squares, atol=1.0)


def test_distances_continue_from_saved_state():
    values = periodic(330)
    values[260:280] = values[260:280][::-1]
    before, after = made(), made()
    scores_of(before, values[:255])
    after.restore(before.state())
    expected = scores_of(before, values[255:], first=255)
    np.testing.assert_allclose(scores_of(after, values[255:], first=255), expected, rtol=1e-6)
    assert expected.max() >= 1.0


def test_a_short_calibration_has_no_shapes():
    assert np.isnan(scores_of(made(60), periodic(90))).all()


def test_the_tail_of_normal_values_is_estimated_and_unseen_blocks_have_the_assumed_slope():
    tail = Tail.of(32 * 16)
    values = np.abs(np.random.default_rng(1).normal(size=(200, BLOCKS * 16)))
    logs = np.log(values.reshape(200, BLOCKS, 16).max(axis=2))
    location, slope = tail.fit(logs, assumed=0.25)
    assert np.median(slope) == pytest.approx(0.55, abs=0.1)
    assert np.median(np.exp(location + slope * rare_depth(30.0))) == pytest.approx(3.9, abs=0.5)
    logs[:, :-8] = np.nan
    _, short = tail.fit(logs, assumed=0.25)
    assert np.abs(short - (8 * 0.25 + 24 * 0.25) / BLOCKS).max() < np.abs(slope - 0.25).max()
    assert short.std() < 0.5 * slope.std()


def test_the_usual_value_is_a_multiple_of_the_fourth_greatest_and_falls_slowly():
    logs = np.log(np.array([[1.0, 9.0, 3.0, 4.0, 2.0, np.nan]]))
    assert np.exp(usual_value(logs, np.array([-np.inf]), 1.5)) == pytest.approx([3.0])
    assert np.exp(usual_value(logs, np.log([10.0]), 1.5)) == pytest.approx([10.0], rel=0.03)


def test_a_shape_of_the_calibration_is_compared_with_those_before_and_after_it():
    changes = np.random.default_rng(2).normal(size=(2, 60)).astype(np.float32)
    shapes = np.lib.stride_tricks.sliding_window_view(changes.astype(np.float64), 8, axis=1)
    for series, found in zip(shapes, nearest_distances(changes, 8), strict=True):
        distances = np.sqrt(np.square(series[:, None] - series).mean(axis=2))
        overlapping = np.abs(np.subtract.outer(np.arange(53), np.arange(53))) < 8
        np.testing.assert_allclose(found, np.where(overlapping, np.inf, distances).min(axis=1), rtol=1e-5)


def test_shapes_at_the_beginning_of_the_calibration_do_not_raise_the_limit():
    ensemble = made()
    scores_of(ensemble, periodic(CALIBRATION))
    state = state_of(ensemble)
    assert np.nanmax(state.greatest) < 2.0 * np.nanmedian(state.greatest)
