"""The alarm level of a group's score for a configured rate of alarms."""

import copy

import numpy as np
import pytest

from edge_components.anomaly_detector.multivariate.alarm_level import BLOCK, KEPT, AlarmLevel

ONSET = 4


def noise(rows, seed=0):
    """Return scores whose squares are exponentially distributed, as squared distances are; each repeated six times."""
    return np.sqrt(np.repeat(np.random.default_rng(seed).exponential(0.1, rows // 6 + 1), 6)[:rows])


def calibrated(rows=300, seed=1):
    tail = AlarmLevel.empty(ONSET)
    tail.fit(noise(rows, seed))
    return tail


def learned(rows, seed=2):
    tail = calibrated()
    for score in noise(rows, seed):
        tail.learn(score)
    return tail


def count_alarms(tail, scores, between):
    """Return the number of alarms in a stream of scores; each alarm skips 75 rows."""
    alarms, row = 0, 0
    while row < len(scores):
        if scores[row : row + ONSET].min() < tail.level(between):
            tail.learn(scores[row])
            row += 1
        else:
            tail.alarmed(tail.level(between))
            alarms, row = alarms + 1, row + 75
    return alarms


@pytest.mark.parametrize("between", [500, 2000])
def test_the_alarm_rate_is_about_the_configured_one(between):
    found = sum(count_alarms(calibrated(seed=seed), noise(10_000, 100 + seed), between) for seed in range(4))
    assert 1 / 3 <= found / (40_000 / between) <= 3


def test_rarer_alarms_have_a_higher_level_whose_square_grows_with_the_logarithm():
    tail = learned(KEPT * BLOCK)
    # The level is also moved by how rare alarms were: that of a rate which allows few alarms so far is hardly moved.
    tail.numbers[2] = 0
    levels = [tail.level(between) for between in (1e3, 1e4, 1e5, 1e6)]
    assert np.diff(np.square(levels)) == pytest.approx(np.full(3, 0.1 * np.log(10)), rel=0.35)


def test_the_level_is_proportional_to_the_scores():
    tail, larger = calibrated(), AlarmLevel.empty(ONSET)
    larger.fit(2.0 * noise(300, seed=1))
    assert larger.level(5000) == pytest.approx(2.0 * tail.level(5000))


def test_the_level_from_few_blocks_is_close_to_that_from_many_and_mostly_higher():
    few = np.array([calibrated(seed=seed).level(5000) for seed in range(20)]) / learned(KEPT * BLOCK).level(5000)
    assert ((few > 0.8) & (few < 1.8)).all()
    assert np.median(few) > 1.0


def test_too_many_alarms_raise_the_level_and_too_few_lower_it_within_bounds():
    levels = []
    for alarms in (0, 10, 30, 10**9):
        tail = learned(10_000)
        tail.numbers[3] = alarms
        levels.append(tail.level(1000))
    assert levels == sorted(set(levels))
    assert levels[-1] < 1.5 * levels[1]
    assert levels[0] > 0.7 * levels[1]


def test_an_anomaly_has_little_effect_on_the_level():
    tail = learned(5000)
    before = tail.level(5000)
    tail.alarmed(before)
    assert before < tail.level(5000) < 1.25 * before


def test_scores_that_persist_for_less_than_an_onset_are_ignored():
    tail, other = calibrated(), calibrated()
    for row in range(1000):
        tail.learn(0.05)
        other.learn(99.0 if row % 10 < ONSET - 1 else 0.05)
    assert tail.level(5000) == other.level(5000)


@pytest.mark.parametrize("rows", [0, 10, 5000])
def test_levels_are_the_same_after_a_restart(rows):
    tail = learned(rows)
    tail.level(3000)
    again = copy.deepcopy(tail)
    for score in noise(200, seed=9):
        tail.learn(score)
        again.learn(score)
        assert again.level(3000) == tail.level(3000)


def test_a_calibration_shorter_than_a_block_gives_a_level():
    tail = AlarmLevel.empty(ONSET)
    tail.fit(noise(20))
    assert np.isfinite(tail.level(1e6))
