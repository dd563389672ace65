"""Tests of the rate limit to IoT Core."""

from __future__ import annotations

import pytest

from device_sim.greengrass.pace import Pace


def run(pace: Pace, sizes: list[int], start: float = 0.0) -> float:
    now = start
    for size in sizes:
        while (delay := pace.take(now, size)) > 0:
            now += delay
    return now


def test_a_second_of_messages_may_go_at_once_and_then_no_more_than_the_rate() -> None:
    assert run(Pace(100, 1e6), [1] * 100) == 0
    assert run(Pace(100, 1e6), [1] * 300) == pytest.approx(2.0)


def test_bytes_count_as_well() -> None:
    assert run(Pace(100, 1000), [500] * 6) == pytest.approx(2.0)


def test_one_message_larger_than_a_second_of_bytes_goes_and_is_paid_for() -> None:
    pace = Pace(100, 1000)
    assert pace.take(0.0, 3000) == 0
    assert run(pace, [1000], 0.0) == pytest.approx(3.0)


def test_a_clock_that_steps_back_frees_nothing() -> None:
    pace = Pace(1, 1000)
    assert pace.take(10.0, 1) == 0
    assert pace.take(5.0, 1) == pytest.approx(1.0)
    assert pace.take(6.0, 1) == 0
