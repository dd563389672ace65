"""Connection to the nucleus without resources or answers; other cases are in tests/integration."""

from __future__ import annotations

import concurrent.futures
import logging
import queue
import random
from collections.abc import Callable

import pytest

from edge_components.common import ipc_client
from edge_components.common.errors import BusError
from edge_components.common.health import Counters
from edge_components.common.ipc import GreengrassBus
from edge_components.common.limited_log import RateLimitedLog
from tests.fakes import FakeClock

SECONDS = 5.0


class FakeLoop:
    """Keeps the calls that other threads post."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.stopping = False

    def post(self, call: Callable[[], None]) -> None:
        self.calls.put(call)

    def post_always(self, call: Callable[[], None]) -> None:
        self.calls.put(call)


def bus(loop: FakeLoop, clock: FakeClock) -> GreengrassBus:
    log = RateLimitedLog(Counters(), logging.getLogger("strandline.test"), clock)
    return GreengrassBus(loop, clock, log, random.Random(1), lambda: None)


@pytest.mark.parametrize("error", [RuntimeError("no thread"), OSError(24, "Too many files")])
def test_an_attempt_that_fails_for_lack_of_resources_is_followed_by_another(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []

    def connect(*_: object) -> object:
        attempts.append(None)
        raise error

    monkeypatch.setattr(ipc_client, "connect", connect)
    loop, clock = FakeLoop(), FakeClock()
    target = bus(loop, clock)
    for number in range(1, 4):
        target.tick()
        loop.calls.get(timeout=SECONDS)()
        assert len(attempts) == number
        clock.advance(60.0)


def test_an_attempt_without_memory_ends_the_component(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> object:
        raise MemoryError

    monkeypatch.setattr(ipc_client, "connect", connect)
    loop = FakeLoop()
    bus(loop, FakeClock()).tick()
    with pytest.raises(MemoryError):
        loop.calls.get(timeout=SECONDS)()


class SilentNucleus:
    """Client whose calls get no answer; waiting for one advances the clock."""

    def __init__(self, clock: FakeClock, loop: FakeLoop, stop_at: float) -> None:
        self._clock, self._loop, self._stop_at = clock, loop, stop_at

    def new_publish_to_topic(self) -> SilentNucleus:
        return self

    def activate(self, _request: object) -> None:
        pass

    def get_response(self) -> SilentNucleus:
        return self

    def result(self, timeout: float) -> object:
        self._clock.advance(timeout)
        self._loop.stopping = self._clock.monotonic() >= self._stop_at
        raise concurrent.futures.TimeoutError

    def close(self) -> None:
        pass


def silent_bus(monkeypatch: pytest.MonkeyPatch, clock: FakeClock, stop_after_s: float) -> GreengrassBus:
    loop = FakeLoop()
    client = SilentNucleus(clock, loop, clock.monotonic() + stop_after_s)
    monkeypatch.setattr(ipc_client, "connect", lambda *_: client)
    silent = bus(loop, clock)
    silent.connect()
    return silent


def test_an_answer_is_waited_for_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    silent, start = silent_bus(monkeypatch, clock, 1e9), clock.monotonic()
    with pytest.raises(BusError, match="publish to a/b: no answer in 10 s"):
        silent.publish("a/b", b"")
    assert clock.monotonic() - start == pytest.approx(10.0)


def test_a_stop_waits_three_seconds_in_all_for_a_nucleus_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    silent, start = silent_bus(monkeypatch, clock, 1.0), clock.monotonic()
    with pytest.raises(BusError, match="no answer in 4 s"):
        silent.publish("a/b", b"")
    for _ in range(3):
        with pytest.raises(BusError, match="no answer in 0 s"):
            silent.publish("a/b", b"")
    assert clock.monotonic() - start == pytest.approx(4.0, abs=0.2)
