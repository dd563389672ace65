"""A component's loop: arrivals in order, one failure blocks no other, and each way to end has its exit code."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_components.common import lifecycle
from edge_components.common.config import integer
from edge_components.common.errors import BusError, ConnectionLostError
from edge_components.common.health import Counters
from edge_components.common.lifecycle import Loop, Runtime, run_component
from tests.fakes import FakeBus, FakeClock, fake_runtime
from wire import topics


@dataclass(frozen=True, slots=True)
class Config:
    size: int = integer(5, 1, 10, "how large")


class Recorder:
    """A component that notes what is done with it, and can be told to do something in its tick."""

    def __init__(self, config: Config, runtime: Runtime, on_tick: Callable[[Recorder], None]) -> None:
        self.config, self.runtime, self.on_tick = config, runtime, on_tick
        self.done: list[str] = []

    def start(self) -> None:
        self.done.append("start")

    def tick(self) -> None:
        self.done.append("tick")
        self.on_tick(self)

    def reconfigure(self, config: Config) -> None:
        self.config = config
        self.done.append(f"size {config.size}")

    def close(self) -> None:
        self.done.append("close")


def loop_of(size: int = 100) -> tuple[Loop, Counters, FakeClock]:
    counters, clock = Counters(), FakeClock()
    return Loop(counters, logging.getLogger("test"), clock, size), counters, clock


def component(loop: Loop, on_tick: Callable[[Recorder], None] | None = None) -> Recorder:
    runtime, _bus, _clock = fake_runtime(Path())
    return Recorder(Config(), runtime, on_tick or (lambda _: loop.stop()))


def test_calls_run_in_order_then_a_tick_then_close_and_the_last_report() -> None:
    loop, _counters, _clock = loop_of()
    part = component(loop)
    for name in ("a", "b", "c"):
        loop.post(lambda name=name: part.done.append(name))
    assert loop.run(part, lambda: part.done.append("report")) == 0
    assert part.done == ["start", "a", "b", "c", "tick", "close", "report"]


def test_a_call_that_fails_is_logged_counted_and_blocks_no_other(caplog: pytest.LogCaptureFixture) -> None:
    loop, counters, _clock = loop_of()
    part = component(loop)
    loop.post(lambda: 1 / 0)
    loop.post(lambda: part.done.append("after"))
    assert loop.run(part, lambda: None) == 0
    assert "after" in part.done
    assert counters["errors"] == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_tick_that_fails_comes_again() -> None:
    loop, counters, _clock = loop_of()

    def fail_twice(part: Recorder) -> None:
        if part.done.count("tick") == 3:
            loop.stop()
        else:
            raise RuntimeError("not yet")

    assert loop.run(component(loop, fail_twice), lambda: None) == 0
    assert counters["errors"] == 2


def test_a_wall_clock_that_is_set_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    loop, counters, clock = loop_of()

    def set_clock(part: Recorder) -> None:
        steps = {1: 3_600_000, 2: 1_000, 3: -3_600_000}
        clock.wall += steps.get(part.done.count("tick"), 0)
        if part.done.count("tick") == 5:
            loop.stop()

    assert loop.run(component(loop, set_clock), lambda: None) == 0
    assert counters["clock_jumps"] == 2
    assert "set by +3600.0 s" in caplog.text
    assert "set by -3600.0 s" in caplog.text


def test_out_of_memory_ends_the_process_without_touching_what_is_on_disk(caplog: pytest.LogCaptureFixture) -> None:
    loop, _counters, _clock = loop_of()

    def fail(_: Recorder) -> None:
        raise MemoryError

    part = component(loop, fail)
    assert loop.run(part, lambda: part.done.append("report")) == lifecycle.EXIT_SOFTWARE
    assert part.done == ["start", "tick"]
    assert "MemoryError" in caplog.text


def test_a_lost_connection_ends_the_loop_with_its_code_after_closing() -> None:
    loop, counters, _clock = loop_of()

    def lose(_: Recorder) -> None:
        raise ConnectionLostError("gone")

    part = component(loop, lose)
    assert loop.run(part, lambda: None) == lifecycle.EXIT_UNAVAILABLE
    assert part.done[-1] == "close"
    assert counters["errors"] == 0


def test_the_first_code_that_is_asked_for_counts() -> None:
    loop, _counters, _clock = loop_of()
    loop.stop(lifecycle.EXIT_UNAVAILABLE)
    loop.stop(0)
    assert loop.run(component(loop), lambda: None) == lifecycle.EXIT_UNAVAILABLE


def test_arrivals_beyond_the_queue_are_dropped_and_counted() -> None:
    loop, counters, _clock = loop_of(size=2)
    part = component(loop)
    for name in ("a", "b", "c"):
        loop.post(lambda name=name: part.done.append(name))
    loop.run(part, lambda: None)
    assert [name for name in part.done if len(name) == 1] == ["a", "b"]
    assert counters["loop_overflow"] == 1


def test_counters_are_reported_every_ten_seconds() -> None:
    loop, _counters, clock = loop_of()
    reports: list[float] = []

    def pass_time(part: Recorder) -> None:
        clock.advance(1.0)
        loop.post(lambda: None)
        if part.done.count("tick") == 25:
            loop.stop()

    loop.post(lambda: None)
    loop.run(component(loop, pass_time), lambda: reports.append(clock.monotonic()))
    assert [round(at - reports[0]) for at in reports] == [0, 10, 15]


class Nucleus:
    """Stands where GreengrassBus.connect is, and keeps what a run of a component does."""

    def __init__(self) -> None:
        self.bus = FakeBus()
        self.failure: BusError | None = None
        self.closed = 0
        self.parts: list[Recorder] = []

    def connect(self, post: object, lost: object, log: object) -> FakeBus:
        if self.failure is not None:
            raise self.failure
        self.bus.close = self._close  # type: ignore[attr-defined]
        return self.bus

    def _close(self) -> None:
        self.closed += 1

    def run(self, on_tick: Callable[[Recorder], None]) -> int:
        def build(config: Config, runtime: Runtime) -> Recorder:
            self.parts.append(Recorder(config, runtime, on_tick))
            return self.parts[-1]

        return run_component("Part", Config, build)


@pytest.fixture
def nucleus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nucleus]:
    from edge_components.common import ipc

    stands_in = Nucleus()
    monkeypatch.setattr(ipc.GreengrassBus, "connect", stands_in.connect)
    monkeypatch.setattr(lifecycle.signal, "signal", lambda *_: None)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield stands_in
    root.handlers[:], root.level = before, level


def stop(part: Recorder) -> None:
    part.runtime.loop.stop()


def test_a_component_that_is_asked_to_stop_reports_and_closes_the_bus(nucleus: Nucleus) -> None:
    nucleus.bus.values = {"size": "7", "accessControl": {}}
    assert nucleus.run(stop) == 0
    assert nucleus.parts[0].config == Config(7)
    assert json.loads(nucleus.bus.on(topics.HEALTH)[-1]) == {"component": "Part", "counters": {}}
    assert nucleus.closed == 1


def test_no_nucleus_is_unavailable(nucleus: Nucleus, capsys: pytest.CaptureFixture[str]) -> None:
    nucleus.failure = BusError("SVCUID is not set")
    assert nucleus.run(stop) == lifecycle.EXIT_UNAVAILABLE
    assert "SVCUID" in capsys.readouterr().out


def test_a_configuration_that_does_not_validate_has_its_code_and_a_line_a_bad_key(
    nucleus: Nucleus, capsys: pytest.CaptureFixture[str]
) -> None:
    nucleus.bus.values = {"size": 11, "sise": 1}
    assert nucleus.run(stop) == lifecycle.EXIT_CONFIG
    said = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()]
    assert [line.split(":")[1].strip() for line in said] == ["size", "sise"]
    assert nucleus.closed == 1


def test_a_start_that_fails_is_our_error_and_its_traceback_is_in_the_log(
    nucleus: Nucleus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Recorder) -> None:
        raise ValueError("oh")

    monkeypatch.setattr(Recorder, "start", fail)
    assert nucleus.run(stop) == lifecycle.EXIT_SOFTWARE
    assert "ValueError: oh" in capsys.readouterr().out
    assert nucleus.closed == 1


def test_an_update_that_validates_is_applied_once(nucleus: Nucleus) -> None:
    def update(part: Recorder) -> None:
        nucleus.bus.values = {"size": 9}
        assert nucleus.bus.validate({"size": 9}) is None
        nucleus.bus.apply()
        nucleus.bus.apply()
        stop(part)

    assert nucleus.run(update) == 0
    assert nucleus.parts[0].done == ["start", "tick", "size 9", "close"]
    assert nucleus.parts[0].runtime.counters["configuration_applied"] == 1


def test_an_update_that_does_not_validate_is_refused_and_the_old_one_stays(nucleus: Nucleus) -> None:
    def update(part: Recorder) -> None:
        nucleus.bus.values = {"size": 0}
        assert "size" in str(nucleus.bus.validate({"size": 0}))
        nucleus.bus.apply()
        stop(part)

    assert nucleus.run(update) == 0
    assert nucleus.parts[0].config == Config(5)
    assert nucleus.parts[0].runtime.counters["configuration_refused"] == 2


def test_an_update_that_could_not_be_applied_is_tried_again(nucleus: Nucleus, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def fail_once(part: Recorder, config: Config) -> None:
        tries.append(config.size)
        if len(tries) == 1:
            raise RuntimeError("not yet")
        part.config = config

    def update(part: Recorder) -> None:
        nucleus.bus.values = {"size": 9}
        part.runtime.loop.post(nucleus.bus.apply)
        if len(tries) == 2:
            stop(part)

    monkeypatch.setattr(Recorder, "reconfigure", fail_once)
    assert nucleus.run(update) == 0
    assert tries[:2] == [9, 9]
    assert nucleus.parts[0].config == Config(9)
