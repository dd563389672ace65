"""The wait before a repetition follows the measured time of the acknowledgements."""

from __future__ import annotations

import random

import pytest

from edge_components.common.handover import RetryPolicy
from edge_components.forwarder.acknowledgement_time import AcknowledgementTimes, TimeoutEstimate
from wire.topics import Lane

POLICY = RetryPolicy(in_flight=8, first_s=5.0, longest_s=300.0)


@pytest.fixture
def times() -> AcknowledgementTimes:
    return AcknowledgementTimes(POLICY, random.Random(1))


def acknowledge_after(times: AcknowledgementTimes, *seconds: float, lane: Lane = Lane.BULK, first: bool = True) -> None:
    for number, each in enumerate(seconds):
        times.sent(number, lane, 100.0, first=first)
        times.acknowledged([number], 100.0 + each)


def test_without_a_measurement_the_estimate_demands_no_wait(times: AcknowledgementTimes) -> None:
    assert times.min_wait_s(Lane.BULK, 1) == 0.0


def test_the_estimate_is_that_of_rfc_6298() -> None:
    estimate = TimeoutEstimate()
    estimate.measured(8.0)
    assert (estimate.smoothed_s, estimate.deviation_s, estimate.timeout_s) == (8.0, 4.0, 24.0)
    estimate.measured(16.0)
    assert (estimate.smoothed_s, estimate.deviation_s, estimate.timeout_s) == (9.0, 5.0, 29.0)


def test_equal_times_leave_a_margin_of_half() -> None:
    estimate = TimeoutEstimate()
    for _ in range(100):
        estimate.measured(12.0)
    assert estimate.timeout_s == pytest.approx(18.0)


def test_a_slow_cloud_is_waited_for(times: AcknowledgementTimes) -> None:
    acknowledge_after(times, *[12.0] * 20)
    assert 18.0 <= times.min_wait_s(Lane.BULK, 1) <= 18.1 * 1.25
    assert times.min_wait_s(Lane.BULK, 2) >= 36.0


def test_the_wait_is_neither_below_the_first_nor_above_the_longest(times: AcknowledgementTimes) -> None:
    acknowledge_after(times, *[0.2] * 20)
    assert 5.0 <= times.min_wait_s(Lane.BULK, 1) <= 6.25
    assert times.min_wait_s(Lane.BULK, 40) == 300.0
    acknowledge_after(times, *[1000.0] * 20)
    assert times.min_wait_s(Lane.BULK, 1) == 300.0


def test_each_lane_has_its_own_estimate(times: AcknowledgementTimes) -> None:
    acknowledge_after(times, *[30.0] * 20)
    acknowledge_after(times, *[0.5] * 20, lane=Lane.URGENT)
    assert times.min_wait_s(Lane.URGENT, 1) <= 6.25
    assert times.min_wait_s(Lane.BULK, 1) >= 45.0


def test_a_batch_that_was_sent_twice_doubles_the_wait_until_one_can_be_measured(times: AcknowledgementTimes) -> None:
    acknowledge_after(times, 12.0, first=False)
    assert 10.0 <= times.min_wait_s(Lane.BULK, 1) <= 12.5
    acknowledge_after(times, 12.0, first=False)
    assert 20.0 <= times.min_wait_s(Lane.BULK, 1) <= 25.0
    acknowledge_after(times, 1.0)
    assert times.min_wait_s(Lane.BULK, 1) <= 6.25


def test_one_acknowledgement_of_many_repeated_batches_doubles_once(times: AcknowledgementTimes) -> None:
    for number in range(8):
        times.sent(number, Lane.BULK, 0.0, first=False)
    times.acknowledged(range(8), 60.0)
    assert times.min_wait_s(Lane.BULK, 1) <= 12.5


def test_a_forgotten_batch_is_not_measured(times: AcknowledgementTimes) -> None:
    times.sent(1, Lane.BULK, 0.0, first=True)
    times.forget(1)
    times.acknowledged([1], 50.0)
    assert times.min_wait_s(Lane.BULK, 1) == 0.0
