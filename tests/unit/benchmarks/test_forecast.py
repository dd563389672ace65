"""Questions and counts of the back-test of forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.forecast import HORIZON, KINDS, Question, Tally, line, simulated
from cloud_functions.core.history import MAX_STEPS
from cloud_functions.core.threshold import Side

RISING = 0.1 * np.arange(MAX_STEPS) + 0.1 * np.random.default_rng(1).normal(size=MAX_STEPS)


@pytest.mark.parametrize("kind", KINDS)
def test_questions_are_reproducible_by_seed_and_contain_no_future_values(kind: str) -> None:
    questions = list(simulated(kind, 1))
    assert len(questions) > 20
    for one, again in zip(questions, simulated(kind, 1), strict=True):
        assert np.array_equal(one.history, again.history)
        assert len(one.history) == MAX_STEPS
        assert one.limit > one.history.max()
        assert one.truth is None or 1 <= one.truth <= HORIZON


def test_line_reaches_only_limits_in_its_direction() -> None:
    rising = np.arange(100.0)
    assert line(rising, Side.HIGH, 109.5) == 11
    assert line(rising, Side.LOW, -5.0) is None
    assert line(-rising, Side.LOW, -109.5) == 11
    assert line(rising, Side.HIGH, 100.0 + HORIZON + 1) is None
    assert line(rising, Side.HIGH, 3.0) == 1


def test_outcomes_inside_before_after_and_never_are_counted() -> None:
    tally = Tally()
    for truth in (60, 5, 110, None):
        tally.count(Question(RISING, Side.HIGH, 30.0, truth))
    report = tally.report()
    assert (report["questions"], report["reached"], report["estimates"]) == (4, 3, 4)
    assert (report["inside"], report["before"], report["after"], report["false_estimates"]) == (0.25, 0.25, 0.5, 0.25)
    assert report["median_error"] == pytest.approx(50, abs=6)
    assert report["line_false_estimates"] == 0.25


def test_missing_estimates_are_counted_by_reason_and_correctness() -> None:
    tally = Tally()
    for truth in (None, 7):
        tally.count(Question(-RISING, Side.HIGH, 30.0, truth))
    tally.count(Question(RISING, Side.HIGH, 3.0, 1))  # beyond already: no question
    report = tally.report()
    assert (report["questions"], report["no_estimate"], report["no_estimate_right"]) == (2, 1.0, 0.5)
    assert report["reasons"] == {"away": 2}
    assert report["median_error"] is None
