"""Tests of the matching of faults and alerts, and of the strictness of its rule."""

from __future__ import annotations

import pytest

from device_sim.demo.matching import Alarm, match
from device_sim.simulation.faults import Fault, FaultKind

END = 90_000
FAULT = Fault("pump-1.pressure", FaultKind.STEP, 50_000, 60_000, 3.0)


def _alarm(series: str, start_ms: int, opened_ms: int | None = None, end_ms: int | None = None) -> Alarm:
    return Alarm(series, start_ms, end_ms, start_ms + 2000 if opened_ms is None else opened_ms, "level", 1.5)


def test_an_alert_on_the_series_during_the_fault_answers_it_with_the_delay_until_it_was_raised() -> None:
    matching = match([FAULT], [_alarm("pump-1.pressure", 51_000, 53_500)], END, 1000)
    assert matching.detected == 1
    assert matching.results[0].delay_s == 3.5 == matching.mean_delay_s
    assert matching.false == ()


@pytest.mark.parametrize(
    ("start_ms", "answers"),
    [(48_999, False), (49_000, True), (60_000, True), (68_000, True), (68_001, False)],
)
def test_alert_matches_from_one_window_before_the_fault_to_the_grace_time_after_it(
    start_ms: int, answers: bool
) -> None:
    matching = match([FAULT], [_alarm("pump-1.pressure", start_ms)], END, 1000)
    assert matching.detected == answers
    assert len(matching.false) == (not answers)


def test_an_alert_that_was_there_before_the_fault_does_not_answer_it_however_long_it_stays() -> None:
    matching = match([FAULT], [_alarm("pump-1.pressure", 30_000, end_ms=90_000)], END, 1000)
    assert matching.detected == 0
    assert len(matching.false) == 1


def test_another_channel_of_the_machine_answers_too_but_the_series_itself_is_preferred() -> None:
    other, own = _alarm("pump-1.current", 50_500), _alarm("pump-1.pressure", 55_000)
    assert match([FAULT], [other], END, 1000).results[0].alarm == other
    assert match([FAULT], [other, own], END, 1000).results[0].alarm == own
    assert match([FAULT], [other, own], END, 1000).false == ()


def test_an_alert_on_another_machine_is_false_the_computers_own_too() -> None:
    matching = match([FAULT], [_alarm("pump-2.pressure", 51_000), _alarm("host.cpu", 51_000)], END, 1000)
    assert matching.detected == 0
    assert matching.mean_delay_s is None
    assert [alarm.series for alarm in matching.false] == ["pump-2.pressure", "host.cpu"]


def test_the_first_of_several_alerts_is_the_one_that_counts() -> None:
    matching = match([FAULT], [_alarm("pump-1.pressure", 58_000), _alarm("pump-1.pressure", 52_000)], END, 1000)
    assert matching.results[0].delay_s == 4.0
    assert matching.false == ()


def test_alerts_after_the_sensors_were_switched_off_are_not_counted() -> None:
    assert match([], [_alarm("pump-2.pressure", END), _alarm("pump-2.pressure", END - 1)], END, 1000).false == (
        _alarm("pump-2.pressure", END - 1),
    )
