"""The idle clock advances only while readings can be received."""

from __future__ import annotations

from edge_components.aggregator.idle_clock import IdleClock


def run(clock: IdleClock, start: float, seconds: float, heard: bool = False, incomplete: bool = False) -> float:
    before, now = clock.milliseconds, start
    while now < start + seconds:
        now += 0.5
        if heard:
            clock.batch_received(now)
        clock.tick(now, incomplete)
    return (clock.milliseconds - before) / 1000


def test_it_advances_while_batches_are_received() -> None:
    assert run(IdleClock(0.0, 60.0), 0.0, 30.0, heard=True) == 30.0


def test_it_stops_during_silence_until_the_limit() -> None:
    clock = IdleClock(0.0, 60.0)
    run(clock, 0.0, 10.0, heard=True)
    assert run(clock, 10.0, 60.0) == 2.0
    assert run(clock, 70.0, 10.0) == 10.0


def test_it_stops_while_batches_are_rejected_and_shortly_after() -> None:
    clock = IdleClock(0.0, 60.0)
    assert run(clock, 0.0, 500.0, heard=True, incomplete=True) == 0.0
    assert run(clock, 500.0, 10.0) == 2.0


def test_a_process_that_was_stopped_finds_no_hours_passed() -> None:
    clock = IdleClock(0.0, 60.0)
    clock.batch_received(3_600.0)
    assert clock.tick(3_600.0, incomplete=False) == 1_000
