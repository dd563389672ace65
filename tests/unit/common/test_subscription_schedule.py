"""A subscription is retried with backoff, one attempt at a time, and renewed when messages seem to be missing."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from edge_components.common.subscription_schedule import (
    LONGEST_SILENCE_SECONDS,
    RETRY,
    SILENCE_SECONDS,
    SubscriptionSchedule,
)


def schedule(*, expects_traffic: bool = False, answer_s: float = 60.0) -> SubscriptionSchedule:
    return SubscriptionSchedule(0.0, random.Random(1), answer_s=answer_s, expects_traffic=expects_traffic)


def active(*, expects_traffic: bool = False) -> SubscriptionSchedule:
    made = schedule(expects_traffic=expects_traffic)
    made.attempt_began(0.0)
    made.opened(0.0)
    return made


def test_the_first_attempt_is_due_at_once_and_a_second_not_while_it_is_in_progress() -> None:
    made = schedule()
    assert made.attempt_due(0.0)
    made.attempt_began(0.0)
    assert not made.attempt_due(59.0)
    assert not made.active


def test_failures_are_retried_with_growing_delays_up_to_the_maximum() -> None:
    made, now, delays = schedule(), 0.0, []
    for _ in range(40):
        assert made.attempt_due(now)
        made.attempt_began(now)
        made.failed(now)
        assert not made.attempt_due(now)
        delays.append(made.next_s(now))
        now += delays[-1]
    assert delays[0] <= RETRY.first_s
    assert max(delays) <= RETRY.longest_s
    assert min(delays[10:]) >= RETRY.longest_s / 2
    assert len({round(delay, 3) for delay in delays[10:]}) > 5


def test_an_attempt_without_an_answer_is_overdue_after_its_limit() -> None:
    made = schedule(answer_s=3600.0)
    made.attempt_began(0.0)
    assert not made.attempt_overdue(3599.0)
    assert made.next_s(3599.0) == 1.0
    assert made.attempt_overdue(3600.0)


def test_a_closed_stream_is_opened_again_soon_and_one_that_closes_at_once_later_each_time() -> None:
    made = active()
    made.closed(1_000.0)
    assert not made.active
    assert made.next_s(1_000.0) <= RETRY.first_s
    now, delays = 1_000.0, []
    for _ in range(10):
        now += made.next_s(now)
        made.attempt_began(now)
        made.opened(now)
        made.closed(now)
        delays.append(made.next_s(now))
    assert delays[-1] >= RETRY.longest_s / 2


def test_silence_renews_a_subscription_that_expects_traffic_less_and_less_often() -> None:
    made, now, renewals = active(expects_traffic=True), 0.0, []
    while now < 3_600.0:
        now += 1.0
        if made.attempt_due(now):
            renewals.append(now)
            made.attempt_began(now)
            assert made.active
            assert made.opened(now)
    gaps = [round(b - a) for a, b in zip([0.0, *renewals], renewals, strict=False)]
    assert gaps[:5] == [30, 60, 120, 240, 300]
    assert set(gaps[5:]) == {round(LONGEST_SILENCE_SECONDS)}


def test_renewals_that_fail_are_repeated_less_and_less_often() -> None:
    made, now, renewals = active(expects_traffic=True), 0.0, []
    while now < 1_800.0:
        now += 1.0
        if made.attempt_due(now):
            renewals.append(now)
            made.attempt_began(now)
            made.failed(now)
            assert made.active
    gaps = [round(b - a) for a, b in zip([0.0, *renewals], renewals, strict=False)]
    assert gaps[:5] == [30, 60, 120, 240, 300]
    assert set(gaps[5:]) == {round(LONGEST_SILENCE_SECONDS)}


def test_messages_put_the_renewal_off_and_its_pace_back() -> None:
    made = active(expects_traffic=True)
    for now in range(30, 300, 20):
        made.received(float(now) - 10)
        assert not made.attempt_due(float(now))
    assert made.attempt_due(280.0 + SILENCE_SECONDS)
    made.attempt_began(310.0)
    made.opened(310.0)
    made.received(315.0)
    assert not made.attempt_due(344.0)
    assert made.attempt_due(345.0)


def test_silence_does_not_renew_a_subscription_without_constant_traffic() -> None:
    assert not active().attempt_due(1e9)
    assert active().next_s(0.0) == float("inf")


def test_a_requested_renewal_is_due_at_once_and_the_next_is_paced() -> None:
    made = active()
    assert made.request_renewal(100.0)
    assert made.attempt_due(100.0)
    made.attempt_began(100.0)
    assert not made.request_renewal(100.5)
    made.opened(101.0)
    assert made.request_renewal(102.0)
    assert not made.request_renewal(103.0)
    assert not made.attempt_due(160.0)
    assert made.attempt_due(101.0 + 2 * SILENCE_SECONDS)


def test_a_renewal_has_no_effect_without_a_stream() -> None:
    made = schedule()
    assert not made.request_renewal(0.0)
    made.attempt_began(0.0)
    made.failed(0.0)
    assert not made.request_renewal(0.0)


def test_a_renewal_that_fails_keeps_the_stream_that_is_open() -> None:
    made = active()
    made.request_renewal(100.0)
    made.attempt_began(100.0)
    made.failed(101.0)
    assert made.active
    assert not made.attempt_due(102.0)


def test_a_stream_that_closes_during_its_renewal_leaves_the_attempt_in_progress() -> None:
    made = active()
    made.request_renewal(100.0)
    made.attempt_began(100.0)
    made.closed(100.1)
    assert not made.active
    assert not made.attempt_due(100.2)
    assert not made.opened(100.3)
    assert made.active


def test_a_new_connection_resets_the_schedule() -> None:
    made = active()
    made.reset(5.0)
    assert not made.active
    assert made.attempt_due(5.0)


@given(st.lists(st.sampled_from("bofcrnq"), max_size=60), st.randoms(use_true_random=False))
def test_there_is_at_most_one_attempt_at_a_time_and_always_a_next_one(events: list[str], rng: random.Random) -> None:
    """Only valid calls are made: results of an attempt in progress, and the end of an open stream."""
    made, now = schedule(expects_traffic=True, answer_s=60.0), 0.0
    for event in events:
        now += rng.random() * 40
        if made.attempt_due(now):
            assert not made.attempting
            made.attempt_began(now)
        elif event == "o" and made.attempting:
            made.opened(now)
        elif event == "f" and made.attempting:
            made.failed(now)
        elif event == "c" and made.active:
            made.closed(now)
        elif event == "r" and made.active:
            made.received(now)
        elif event == "n":
            made.request_renewal(now)
        elif event == "q":
            made.reset(now)
        assert 0.0 <= made.next_s(now) <= LONGEST_SILENCE_SECONDS
