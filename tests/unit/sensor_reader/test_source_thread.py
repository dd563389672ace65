"""A worker's readings reach the loop, and a worker that fails, hangs or floods does not affect others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.sensor_reader import source_thread
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.source_thread import Outlet, Sample, ThreadSource
from edge_components.sensor_reader.sources import Context
from tests.fakes import FakeClock
from tests.unit.sensor_reader.fakes import Sink
from tests.waiting import until

NOW_MS = 1_700_000_000_000


class Bench:
    """A source on a fake clock whose worker is a function."""

    def __init__(self, work: Callable[[Outlet], None], wall_ms: int = NOW_MS) -> None:
        self.clock, self.counters = FakeClock(wall_ms), Counters()
        self.sink, self.woken = Sink(self.clock), threading.Event()
        log = RateLimitedLog(self.counters, logging.getLogger("test"), self.clock)
        self.work = work
        context = Context("s", "gw", self.clock, log, self.woken.set, Path(), lambda: 0.0)
        self.source = ThreadSource(context, lambda: self, hang_s=60.0)

    def until(self, done: Callable[[], bool]) -> None:
        def state() -> object:
            return self.sink.readings, self.sink.rejected, self.counters.snapshot()

        def work() -> None:
            self.source.poll(self.sink)
            self.woken.wait(0.01)

        until(done, state, 10.0, work)


def test_readings_have_their_times_or_that_of_arrival_and_bad_ones_are_rejected() -> None:
    def work(outlet: Outlet) -> None:
        outlet.works()
        outlet.put([Sample("a b", 1.5), Sample("c", "2", NOW_MS - 5), Sample("d", None), Sample("e", 1, "noon")])

    bench = Bench(work)
    bench.source.start()
    bench.until(lambda: len(bench.sink.rejected) == 2)
    assert bench.sink.readings == [("a_b", NOW_MS, 1.5), ("c", NOW_MS - 5, 2.0)]
    assert [reason for reason, _ in bench.sink.rejected] == ["rejected_null", "rejected_time"]
    bench.until(lambda: bench.source.health() == {"state": "finished"})
    bench.source.close()


def test_rounds_come_at_their_interval_skip_missed_ones_and_end_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(lambda outlet: None)
    context = Context("s", "gw", bench.clock, bench.source._context.log, bench.woken.set, Path(), lambda: 0.0)
    outlet = Outlet(context)
    began, at, waits = bench.clock.monotonic(), [], []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        bench.clock.advance(seconds)
        return False

    monkeypatch.setattr(outlet, "wait", wait)
    for number, _ in enumerate(source_thread.rounds(outlet, bench.clock, 10.0)):
        at.append(bench.clock.monotonic() - began)
        bench.clock.advance(35.0 if number == 1 else 1.0)
        if number == 3:
            outlet.stop()
    assert at == [0.0, 10.0, 45.0, 55.0]
    assert waits == [9.0, 0.0, 9.0, 9.0]


def test_a_worker_that_fails_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_thread, "FIRST_RETRY_S", 0.0)
    attempts: list[int] = []

    def work(outlet: Outlet) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise SourceError("unplugged")
        if len(attempts) == 2:
            raise ZeroDivisionError
        outlet.works()
        outlet.wait(60)

    bench = Bench(work)
    bench.source.start()
    bench.until(lambda: len(attempts) == 3 and bench.source.health() == {"connected": True})
    assert (bench.counters["source_disconnected"], bench.counters["source_errors"]) == (1, 1)
    bench.source.close()


def test_a_worker_that_hangs_is_replaced_and_closing_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_thread, "_JOIN_SECONDS", 0.01)
    release, started = threading.Event(), threading.Semaphore(0)

    def work(outlet: Outlet) -> None:
        outlet.put([Sample("a", 1)])
        started.release()
        release.wait(30)

    bench = Bench(work)
    bench.source.start()
    assert started.acquire(timeout=10)
    bench.source.poll(bench.sink)
    assert bench.counters["source_hangs"] == 0
    bench.clock.advance(61)
    bench.source.poll(bench.sink)
    assert started.acquire(timeout=10)
    assert bench.counters["source_hangs"] == 1
    bench.until(lambda: len(bench.sink.readings) == 2)
    bench.source.close()
    assert bench.counters["source_threads_abandoned"] == 1
    release.set()


def test_a_flood_drops_the_oldest_and_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_thread, "MAX_QUEUED", 10)
    done = threading.Event()

    def work(outlet: Outlet) -> None:
        outlet.put([Sample("a", at) for at in range(25)])
        done.set()

    bench = Bench(work)
    bench.source.start()
    assert done.wait(10)
    bench.source.poll(bench.sink)
    assert [value for _, _, value in bench.sink.readings] == list(range(15, 25))
    assert bench.counters["dropped_readings"] == 15
    bench.source.close()


def test_readings_without_a_time_wait_for_the_gateway_s_clock() -> None:
    bench = Bench(lambda outlet: outlet.put([Sample("a", 1)]), wall_ms=60_000)
    bench.source.start()
    bench.until(lambda: bench.source.next_poll_s() == 1.0)
    assert bench.sink.readings == []
    bench.clock.wall = NOW_MS
    bench.source.poll(bench.sink)
    assert bench.sink.readings == [("a", NOW_MS, 1.0)]
    bench.source.close()
