"""The connection to the nucleus where the machine has no resources for one; the rest is in tests/integration."""

from __future__ import annotations

import logging
import queue
import random
from collections.abc import Callable

import pytest

from edge_components.common import ipc_client
from edge_components.common.health import Counters
from edge_components.common.ipc import GreengrassBus
from edge_components.common.limited_log import RateLimitedLog
from tests.fakes import FakeClock

SECONDS = 5.0


class FakeLoop:
    """Keeps the calls that other threads post."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

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
