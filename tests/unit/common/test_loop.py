"""A component's loop: calls in order, one failure blocks no other, and no wake-ups while nothing is due."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from edge_components.common import loop as loop_module
from edge_components.common.errors import ConnectionLostError
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.loop import EXIT_SOFTWARE, EXIT_UNAVAILABLE, Loop, Periodic
from tests.fakes import FakeClock


class Bench:
    def __init__(self, size: int = 100) -> None:
        self.counters, self.clock, log = Counters(), FakeClock(), logging.getLogger("test")
        self.loop = Loop(log, RateLimitedLog(self.counters, log, self.clock), self.clock, size)
        self.done: list[str] = []

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.done.append(name)

    def stop_at(self, ticks: int, next_s: float = 0.0) -> Callable[[], float]:
        """Return a tick that notes each call and stops the loop with the last."""

        def tick() -> float:
            self.done.append("tick")
            if self.done.count("tick") == ticks:
                self.loop.stop()
            return next_s

        return tick


def divide_by_zero() -> None:
    _ = 1 / 0


def test_calls_run_in_order() -> None:
    bench = Bench()
    for name in ("a", "b", "c"):
        bench.loop.post(bench.note(name))
    assert bench.loop.run([bench.stop_at(2)]) == 0
    assert bench.done == ["tick", "a", "b", "c", "tick"]


def test_a_call_that_fails_is_logged_counted_and_blocks_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.loop.post(divide_by_zero)
    bench.loop.post(bench.note("after"))
    assert bench.loop.run([bench.stop_at(2)]) == 0
    assert "after" in bench.done
    assert bench.counters["errors"] == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_call_that_fails_without_end_is_counted_and_logged_at_a_limited_rate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    for _ in range(50):
        bench.loop.post(divide_by_zero)
    bench.loop.run([bench.stop_at(2)])
    assert bench.counters["errors"] == 50
    assert caplog.text.count("Traceback") == 1


def test_a_failed_tick_is_repeated_and_does_not_block_others() -> None:
    bench, failures = Bench(), iter([RuntimeError("not yet"), RuntimeError("not yet")])

    def fail_twice() -> float:
        for failure in failures:
            raise failure
        return 0.0

    assert bench.loop.run([fail_twice, bench.stop_at(3)]) == 0
    assert bench.counters["errors"] == 2


def test_a_lost_connection_does_not_end_the_loop() -> None:
    bench = Bench()

    def lose() -> None:
        raise ConnectionLostError("gone")

    bench.loop.post(lose)
    assert bench.loop.run([bench.stop_at(2)]) == 0
    assert bench.counters["bus_errors"] == 1
    assert bench.counters["errors"] == 0


def test_out_of_memory_ends_the_loop_and_nothing_runs_after_it(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    def fail() -> float:
        raise MemoryError

    assert bench.loop.run([fail, bench.stop_at(2)]) == EXIT_SOFTWARE
    bench.loop.call_guarded(bench.note("close"))
    assert bench.done == []
    assert "MemoryError" in caplog.text


def test_the_first_exit_code_is_used() -> None:
    bench = Bench()
    bench.loop.stop(EXIT_UNAVAILABLE)
    bench.loop.stop(0)
    assert bench.loop.run([]) == EXIT_UNAVAILABLE


def test_messages_beyond_the_queue_are_dropped_and_counted_but_events_are_not() -> None:
    bench = Bench(size=2)
    for name in ("a", "b", "c"):
        bench.loop.post(bench.note(name))
    bench.loop.post_always(bench.note("event"))
    bench.loop.run([bench.stop_at(2)])
    assert [name for name in bench.done if name != "tick"] == ["a", "b", "event"]
    assert bench.counters["loop_overflow"] == 1


def test_an_idle_loop_sleeps_as_long_as_its_ticks_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, waits = Bench(), []
    make_calls = Loop._make_calls
    monkeypatch.setattr(Loop, "_make_calls", lambda loop, wait_s: (waits.append(wait_s), make_calls(loop, 0.0)))
    nexts = iter([0.25, 5.0, 0.0])
    bench.loop.run([bench.stop_at(3), lambda: next(nexts), lambda: 0.5])
    assert waits == [0.0, 0.0]
    waits.clear()
    bench = Bench()
    nexts = iter([0.25, 5.0, 0.0])
    bench.loop.run([bench.stop_at(3, next_s=60.0), lambda: next(nexts)])
    assert waits == [0.25, loop_module.MAX_SLEEP_SECONDS]


@pytest.mark.parametrize("wake", ["wake", "stop", "post"])
def test_a_sleeping_loop_wakes_at_once(wake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "MAX_SLEEP_SECONDS", 30.0)
    bench = Bench()
    actions = {"wake": bench.loop.wake, "stop": bench.loop.stop, "post": lambda: bench.loop.post(lambda: None)}
    timer = threading.Timer(0.05, actions[wake])
    timer.start()
    began = time.monotonic()
    bench.loop.run([bench.stop_at(2, next_s=30.0)])
    timer.join()
    assert time.monotonic() - began < 15


def test_a_signal_stops_a_sleeping_loop_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "MAX_SLEEP_SECONDS", 30.0)
    bench = Bench()
    before = signal.signal(signal.SIGUSR1, lambda *_: bench.loop.stop())
    timer = threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1])
    try:
        timer.start()
        began = time.monotonic()
        assert bench.loop.run([lambda: 30.0]) == 0
        assert time.monotonic() - began < 15
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_many_wakes_take_one_place_in_the_queue() -> None:
    bench = Bench(size=2)
    for _ in range(10):
        bench.loop.wake()
    bench.loop.post(bench.note("a"))
    bench.loop.run([bench.stop_at(2)])
    assert "a" in bench.done
    assert bench.counters["loop_overflow"] == 0


def test_a_wall_clock_that_is_set_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    steps = iter([3_600_000, 1_000, -3_600_000, 0, 0])

    def set_clock() -> float:
        bench.clock.wall += next(steps)
        return 0.0

    bench.loop.run([set_clock, bench.stop_at(5)])
    assert bench.counters["clock_jumps"] == 2
    assert "set by +3600.0 s" in caplog.text
    assert "set by -3600.0 s" in caplog.text


def test_a_periodic_call_is_made_once_an_interval_also_when_it_fails() -> None:
    clock, calls = FakeClock(), []

    def call() -> None:
        calls.append(clock.mono)
        raise RuntimeError("not now")

    periodic = Periodic(10.0, call, clock)
    assert periodic() == 10.0
    for _ in range(25):
        clock.advance(1.0)
        try:
            periodic()
        except RuntimeError:
            continue
    assert [round(at - 1_000.0) for at in calls] == [10, 20]
