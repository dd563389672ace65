"""The end of a group's anomaly, decided by the channels that deviated."""

import numpy as np
import pytest

from edge_components.anomaly_detector.multivariate.recovery import END_ROWS, KNOWN_ROWS, RecoveryDetector

STEADY = np.zeros(3)


def look(*away, rough=(0.0, 0.0, 0.0)):
    return np.array([*away, *rough], np.float64)


def lasting(usual, rows=40, wander=STEADY):
    """The course of an anomaly that has looked like that for a while."""
    course = RecoveryDetector.empty(3)
    course.begin(usual)
    assert not any(course.ended(usual, wander, back=False) for _ in range(rows))
    return course


def rows_until_over(course, now, wander=STEADY, back=False):
    return next((row for row in range(1, 60) if course.ended(now, wander, back)), None)


def test_it_is_over_when_all_that_showed_it_is_back():
    assert rows_until_over(lasting(look(20, -30, 0)), look(0, 0, 0)) == END_ROWS


def test_it_goes_on_while_most_of_it_is_there():
    assert rows_until_over(lasting(look(20, -30, 0)), look(14, -20, 0)) is None


def test_a_channel_that_went_very_far_has_no_more_say_than_others():
    assert rows_until_over(lasting(look(1000, -30, 20)), look(1000, 0, 0)) == END_ROWS


def test_one_that_wanders_by_itself_has_less_say():
    usual, now = look(20, -30, 0), look(20, 0, 0)
    assert rows_until_over(lasting(usual), now) is None
    wander = np.array([1.0, 0.0, 0.0])
    assert rows_until_over(lasting(usual, wander=wander), now, wander) == END_ROWS


def test_a_fault_that_only_shows_as_roughness_is_over_when_that_has_gone():
    course = lasting(look(0, 0, 0, rough=(0, 15, 0)))
    assert rows_until_over(course, look(0, 0, 0)) == END_ROWS


def test_slow_followers_that_came_later_do_not_hold_up_the_end():
    course = lasting(look(20, -30, 0))
    for row in range(40):
        assert not course.ended(look(20, -30, row), STEADY, back=False)
    assert rows_until_over(course, look(0, 0, 40)) == END_ROWS


def test_a_look_that_chance_may_have_made_ends_nothing():
    assert rows_until_over(lasting(look(3, 0, 0)), look(1, 0, 0)) is None


def test_it_is_over_when_the_group_is_back_whatever_the_looks_say():
    assert rows_until_over(lasting(look(3, 0, 0)), look(1, 0, 0), back=True) == END_ROWS


@pytest.mark.parametrize(("now", "again"), [(look(18, -25, 0), True), (look(3, -2, 0), False), (look(0, 0, 60), False)])
def test_it_is_there_again_when_more_than_half_of_it_is(now, again):
    course = lasting(look(20, -30, 0))
    rows_until_over(course, look(0, 0, 0))
    assert course.has_returned(now, STEADY) is again


def test_what_it_usually_looks_like_is_known_after_a_while():
    course = RecoveryDetector.empty(3)
    course.begin(look(20, 0, 0))
    for _ in range(KNOWN_ROWS + 20):  # the first channel comes back to two thirds, the others have gone by then
        course.ended(look(15, 25, -25), STEADY, back=False)
    assert rows_until_over(course, look(15, 0, 0)) == END_ROWS
