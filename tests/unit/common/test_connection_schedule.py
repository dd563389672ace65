"""A lost connection is retried with backoff, and the process ends only if a new one helps."""

from __future__ import annotations

import random

from edge_components.common.connection_schedule import REFUSED_SECONDS, RETRY, UNREACHABLE_SECONDS, ConnectionSchedule


def ends_after(refused: list[bool]) -> float | None:
    """Return the time after which attempts with these outcomes (the last one repeated) are abandoned."""
    schedule, now, outcomes = ConnectionSchedule(0.0, random.Random(1)), 0.0, iter(refused)
    last, attempts = False, 0
    while now < 10_000.0:
        if schedule.must_exit(now):
            assert attempts > 5
            return now
        if schedule.attempt_due(now):
            last, attempts = next(outcomes, last), attempts + 1
            schedule.failed(now, refused=last)
            assert schedule.next_s(now) <= RETRY.longest_s
        now += 0.25
    return None


def test_the_process_ends_soon_if_the_nucleus_rejects_it() -> None:
    at = ends_after([True])
    assert at is not None
    assert REFUSED_SECONDS <= at < REFUSED_SECONDS + 12


def test_a_nucleus_that_is_away_is_waited_for_much_longer() -> None:
    at = ends_after([False])
    assert at is not None
    assert UNREACHABLE_SECONDS <= at < UNREACHABLE_SECONDS + 1


def test_refusals_while_the_nucleus_restarts_do_not_add_up() -> None:
    at = ends_after([True, False] * 10 + [False])
    assert at == UNREACHABLE_SECONDS


def test_a_process_whose_nucleus_has_ended_is_given_up_at_once() -> None:
    schedule = ConnectionSchedule(0.0, random.Random(1))
    assert not schedule.must_exit(0.0)
    schedule.orphaned()
    assert schedule.must_exit(0.0)


def test_a_new_loss_resets_the_schedule() -> None:
    schedule = ConnectionSchedule(0.0, random.Random(1))
    schedule.failed(0.0, refused=True)
    schedule.lost(1_000.0)
    assert schedule.attempt_due(1_000.0)
    assert not schedule.must_exit(1_000.0 + UNREACHABLE_SECONDS - 1)
