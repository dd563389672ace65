"""Measures of detection count events, false alarms and rows as their definitions require."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection_data import Group, Recording, shortened
from benchmarks.detection_generated import KINDS
from benchmarks.detection_measures import Scored, measure

CALIBRATE = 400


def recording(first: int = 3000, last: int = 3499, rows: int = 4000) -> Recording:
    return Recording("one", np.arange(rows) * 1000, np.zeros((rows, 8)), CALIBRATE, [(first, last)])


def scored(*marked: tuple[int, int]) -> Scored:
    anomaly = np.zeros(4000, np.bool_)
    for first, end in marked:
        anomaly[first:end] = True
    return Scored(np.zeros(4000), anomaly)


def test_rows_alarms_and_delays_of_a_group_are_counted() -> None:
    # What is marked in the calibration does not count.
    result = measure(Group("g", "rows", [recording()], True), [scored((0, 10), (2000, 2010), (3100, 3600))])
    assert (result["found"], result["events"], result["median_delay_rows"]) == (1, 1, 100)
    assert (result["onsets"], result["false_onsets"], result["false_alarms"]) == (1, 1, 1)
    assert result["fault_free_marked"] == pytest.approx(110 / 3100, abs=1e-4)
    assert result["missed_rows"] == pytest.approx(100 / 500)
    assert result["false_rows"] == pytest.approx(110 / 3100, abs=1e-4)
    assert result["f1"] == pytest.approx(2 * 400 / (2 * 400 + 100 + 110), abs=1e-3)


def test_an_anomaly_that_began_before_an_event_does_not_find_it() -> None:
    result = measure(Group("g", "events", [recording()], True), [scored((2000, 3900))])
    assert (result["found"], result["false_alarms"]) == (0, 1)


def test_a_repeated_alarm_within_an_event_finds_it_but_is_no_onset() -> None:
    score = np.zeros(4000)
    score[[2000, 2500, 3200]] = 1.0
    result = measure(Group("g", "events", [recording()], True), [Scored(score, scored((2000, 3900)).anomaly)])
    assert (result["found"], result["onsets"]) == (1, 0)
    assert (result["false_alarms"], result["false_onsets"]) == (2, 1)


@pytest.mark.parametrize(("row", "at_event"), [(2899, 0), (2900, 1), (3599, 1), (3600, 0), (10, 0)])
def test_the_highest_score_counts_near_the_event(row: int, at_event: int) -> None:
    score = np.zeros(4000)
    score[3700], score[row] = 0.5, 3.0
    result = measure(Group("g", "highest", [recording()], True), [Scored(score, np.zeros(4000, np.bool_))])
    assert result["highest_at_event"] == at_event


@pytest.mark.parametrize("kind", KINDS)
def test_generated_series_are_reproducible_and_their_events_are_after_the_calibration(kind: str) -> None:
    one, again = (KINDS[kind](np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.values, again.values)
    assert one.events == again.events != []
    assert all(one.calibrate <= first <= last < len(one.values) for first, last in one.events)
    assert len(set(one.values.tolist())) > 10


def test_days_of_generated_demand_are_like_the_week_before_but_for_its_events() -> None:
    usual, unusual = [], []
    for seed in range(20):
        one = KINDS["demand"](np.random.default_rng(seed))
        days = one.values.reshape(70, 48)
        events = {first // 48 + 1 for first, _ in one.events}
        for day in range(7, 70):
            like = np.abs(days[day] / days[day - 7] - 1.0).mean()
            (unusual if day in events else usual).append(like)
    assert np.median(usual) < 0.1
    assert np.median(unusual) > 0.2


def test_a_shortened_recording_keeps_its_event_and_the_rows_before_it() -> None:
    rows = np.arange(9000)
    whole = Recording("one", rows * 1000, rows[:, None].astype(float), 3000, [(6000, 6099)])
    (group,) = shortened([Group("g", "nab", [whole], True)])
    (short,) = group.recordings
    assert (group.measure, group.in_sample, len(short.values), short.calibrate) == ("events", True, 1680, 420)
    ((first, last),) = short.events
    assert short.values[[first, last], 0].tolist() == [6000, 6099]
    assert first - short.calibrate == 500
