"""Arrivals before the gateway's clock is set get the correct time once it is set."""

from __future__ import annotations

from edge_components.sensor_reader.arrival_clock import WAIT_SECONDS, ArrivalClock
from tests.fakes import FakeClock

NOW_MS = 1_700_000_000_000


def test_time_of_a_set_clock_is_used() -> None:
    clock = FakeClock(NOW_MS)
    assert ArrivalClock(clock).moment_ms(NOW_MS - 5, clock.monotonic()) == NOW_MS - 5


def test_arrival_times_are_unknown_until_the_clock_is_set() -> None:
    clock = FakeClock(60_000)
    arrivals = ArrivalClock(clock)
    came = clock.wall_ms(), clock.monotonic()
    clock.advance(40.0)
    assert arrivals.waiting
    assert arrivals.moment_ms(*came) is None
    clock.wall = NOW_MS
    assert not arrivals.waiting
    assert arrivals.moment_ms(*came) == NOW_MS - 40_000


def test_waiting_for_an_unset_clock_is_limited() -> None:
    clock = FakeClock(60_000)
    arrivals = ArrivalClock(clock)
    clock.advance(WAIT_SECONDS)
    assert arrivals.moment_ms(60_000, clock.monotonic()) == 60_000
