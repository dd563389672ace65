"""The token bucket allows its rate on average, and a burst of one second."""

from __future__ import annotations

from edge_components.forwarder.token_bucket import TokenBucket


def test_over_a_minute_the_average_holds_after_the_burst() -> None:
    pace, sent = TokenBucket(2.0, 0.0), 0
    for tick in range(961):
        allowed = pace.allowed(tick / 16)
        pace.spend(allowed)
        sent += allowed
    assert sent == 2 * 60 + 2


def test_a_slow_pace_still_sends_one_at_the_beginning() -> None:
    assert TokenBucket(0.01, 0.0).allowed(0.0) == 1


def test_a_clock_that_stands_still_allows_no_more_than_the_burst() -> None:
    pace = TokenBucket(5.0, 10.0)
    pace.spend(pace.allowed(10.0))
    assert pace.allowed(10.0) == 0
