"""Lifecycle of a component: start, configuration, end and exit codes."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_components.common import lifecycle
from edge_components.common.config import integer
from edge_components.common.errors import BusError, ConnectionRefusedByNucleusError, NoNucleusError
from edge_components.common.launch import EXIT_CONFIG
from edge_components.common.lifecycle import Runtime, run_component
from edge_components.common.loop import EXIT_SOFTWARE, EXIT_UNAVAILABLE
from edge_components.common.version import VERSION
from tests.fakes import FakeBus
from wire import topics


@dataclass(frozen=True, slots=True)
class Config:
    size: int = integer(5, 1, 10, "how large")


class Recorder:
    """Component that records the calls of its methods and makes a given call in its tick."""

    def __init__(self, config: Config, runtime: Runtime, on_tick: Callable[[Recorder], None]) -> None:
        self.config, self.runtime, self.on_tick = config, runtime, on_tick
        self.done: list[str] = []

    def start(self) -> None:
        self.done.append("start")

    def tick(self) -> float:
        self.done.append("tick")
        self.on_tick(self)
        return 0.0

    def reconfigure(self, config: Config) -> None:
        self.config = config
        self.done.append(f"size {config.size}")

    def close(self) -> None:
        self.done.append("close")


class ConnectedBus(FakeBus):
    """The bus of a run; ``refusals`` are raised by the first attempts to connect."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[BusError] = []
        self.attempts = self.closed = 0

    def connect(self) -> None:
        self.attempts += 1
        if self.refusals:
            raise self.refusals.pop(0)

    def close(self) -> None:
        self.closed += 1


class Nucleus:
    """Runs a component against a fake bus in a work folder."""

    def __init__(self) -> None:
        self.bus = ConnectedBus()
        self.parts: list[Recorder] = []

    @property
    def part(self) -> Recorder:
        return self.parts[-1]

    def run(self, on_tick: Callable[[Recorder], None]) -> int:
        def build(config: Config, runtime: Runtime) -> Recorder:
            self.parts.append(Recorder(config, runtime, on_tick))
            return self.parts[-1]

        return run_component("Part", Config, build)


@pytest.fixture
def nucleus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Nucleus]:
    from edge_components.common import ipc

    stand_in = Nucleus()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ipc, "GreengrassBus", lambda *_, **__: stand_in.bus)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield stand_in
    root.handlers[:], root.level = before, level


def stop(part: Recorder) -> None:
    part.runtime.loop.stop()


def test_a_component_that_is_stopped_reports_and_closes_the_bus(nucleus: Nucleus) -> None:
    nucleus.bus.values = {"size": "7", "accessControl": {}}
    assert nucleus.run(stop) == 0
    assert nucleus.parts[0].config == Config(7)
    assert json.loads(nucleus.bus.on(topics.HEALTH)[-1]) == {"component": "Part", "version": VERSION, "counters": {}}
    assert nucleus.bus.closed == 1


def test_without_a_nucleus_the_component_ends_as_unavailable(
    nucleus: Nucleus, capsys: pytest.CaptureFixture[str]
) -> None:
    nucleus.bus.refusals = [NoNucleusError("no socket is set")]
    assert nucleus.run(stop) == EXIT_UNAVAILABLE
    assert "no socket is set" in capsys.readouterr().out
    assert not nucleus.parts


def test_a_connection_that_is_rejected_at_first_is_retried(nucleus: Nucleus) -> None:
    nucleus.bus.refusals = [BusError("no socket yet"), ConnectionRefusedByNucleusError("not ready")]
    assert nucleus.run(stop) == 0
    assert nucleus.bus.attempts == 3
    assert nucleus.part.done == ["start", "tick", "close"]


def test_a_stop_ends_the_attempts_to_connect(nucleus: Nucleus, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: list[Callable[..., None]] = []
    monkeypatch.setattr(signal, "signal", lambda _number, handler: handlers.append(handler))
    nucleus.bus.refusals = [BusError("no socket yet")] * 100
    monkeypatch.setattr(time, "sleep", lambda _seconds: handlers[0]())
    assert nucleus.run(stop) == 0
    assert nucleus.bus.attempts == 1


def messages(capsys: pytest.CaptureFixture[str], level: str = "ERROR") -> list[str]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line["message"] for line in lines if line["level"] == level]


def test_an_invalid_configuration_without_an_earlier_one_ends_with_its_code_and_a_line_a_bad_key(
    nucleus: Nucleus, capsys: pytest.CaptureFixture[str]
) -> None:
    nucleus.bus.values = {"size": 11, "sise": 1}
    assert nucleus.run(stop) == EXIT_CONFIG
    assert [line.split(":")[1].strip() for line in messages(capsys)] == ["size", "sise"]
    assert nucleus.bus.closed == 1


def test_an_invalid_configuration_is_replaced_by_the_last_good_one_and_reported_at_each_start(
    nucleus: Nucleus, capsys: pytest.CaptureFixture[str]
) -> None:
    nucleus.bus.values = {"size": "7", "accessControl": {"secret": "no"}}
    assert nucleus.run(stop) == 0
    nucleus.bus.values = {"size": 11}
    for _ in range(2):
        capsys.readouterr()
        assert nucleus.run(stop) == 0
        assert nucleus.part.config == Config(7)
        assert any("starting with the last good one" in line for line in messages(capsys))
        report = json.loads(nucleus.bus.on(topics.HEALTH)[-1])
        assert report["counters"]["configuration_rejected"] == 1
        assert "size" in report["state"]["configuration_rejected"][0]
    assert "secret" not in Path("last_good_configuration.json").read_text()


def test_a_damaged_last_good_configuration_is_not_used(nucleus: Nucleus) -> None:
    nucleus.bus.values = {"size": "7"}
    assert nucleus.run(stop) == 0
    file = Path("last_good_configuration.json")
    file.write_bytes(file.read_bytes().replace(b'"7"', b'"8"'))
    nucleus.bus.values = {"size": 11}
    assert nucleus.run(stop) == EXIT_CONFIG


def test_the_last_good_configuration_is_written_only_when_it_changes(nucleus: Nucleus) -> None:
    file = Path("last_good_configuration.json")
    nucleus.bus.values = {"size": "7"}
    assert nucleus.run(stop) == 0
    before = file.stat().st_ino
    assert nucleus.run(stop) == 0
    assert file.stat().st_ino == before

    def update(part: Recorder) -> None:
        nucleus.bus.values = {"size": 9}
        nucleus.bus.apply()
        stop(part)

    assert nucleus.run(update) == 0
    assert json.loads(file.read_text())["values"] == {"size": 9}


def test_a_start_that_fails_is_our_error_and_its_traceback_is_in_the_log(
    nucleus: Nucleus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Recorder) -> None:
        raise ValueError("oh")

    monkeypatch.setattr(Recorder, "start", fail)
    assert nucleus.run(stop) == EXIT_SOFTWARE
    assert "ValueError: oh" in capsys.readouterr().out
    assert nucleus.bus.closed == 1


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


def test_an_update_that_does_not_validate_is_rejected_once_and_the_old_one_stays(nucleus: Nucleus) -> None:
    def update(part: Recorder) -> None:
        nucleus.bus.values = {"size": 0}
        assert "size" in str(nucleus.bus.validate({"size": 0}))
        nucleus.bus.apply()
        nucleus.bus.apply()
        stop(part)

    assert nucleus.run(update) == 0
    assert nucleus.parts[0].config == Config(5)
    assert nucleus.parts[0].runtime.counters["configuration_rejected"] == 1


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


def test_an_update_without_an_event_is_found_by_reading_the_configuration(
    nucleus: Nucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "CONFIGURATION_SECONDS", 0.0)

    def change(part: Recorder) -> None:
        nucleus.bus.values = {"size": 9}
        if part.config == Config(9):
            stop(part)

    assert nucleus.run(change) == 0
    assert nucleus.part.runtime.counters["configuration_applied"] == 1


def test_a_configuration_that_cannot_be_read_does_not_end_the_component(
    nucleus: Nucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "CONFIGURATION_SECONDS", 0.0)

    def fail(part: Recorder) -> None:
        nucleus.bus.failure = BusError("no answer")
        if part.done.count("tick") == 3:
            nucleus.bus.failure = None
            stop(part)

    assert nucleus.run(fail) == 0
    assert nucleus.part.runtime.counters["bus_errors"] >= 2
