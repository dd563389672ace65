"""The life of a component: connect, read the configuration, build, loop until told to stop.

One thread runs everything a component does. What arrives (messages, updates) is posted to the loop's queue; between
arrivals the component's ``tick`` runs. So components need no locks, and tests call the same methods in any order.

Exit codes: 0 asked to stop, 69 the connection to the nucleus was lost or never made, 70 an error of ours, 78 the
configuration does not validate (the values of sysexits.h).
"""

from __future__ import annotations

import json
import logging
import os
import queue
import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from edge_components.common.config import load
from edge_components.common.errors import BusError, ConfigError, ConnectionLostError
from edge_components.common.health import Counters, start_logging
from edge_components.common.limited_log import WORST_KEYS, RateLimitedLog
from edge_components.common.ports import Bus, Clock, SystemClock
from wire import topics
from wire.limits import MAX_LOCAL_BYTES

EXIT_UNAVAILABLE = 69
EXIT_SOFTWARE = 70
EXIT_CONFIG = 78
HEALTH_SECONDS = 10.0
CLOCK_JUMP_SECONDS = 2.0
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


class Component(Protocol[C_contra]):
    """What a component's ``component.py`` gives; every method is called on the loop."""

    def start(self) -> None:
        """Subscribe and begin."""

    def tick(self) -> float | None:
        """Do what time asks for; called after each arrival and at least every ``TICK_SECONDS``."""

    def reconfigure(self, config: C_contra) -> None:
        """Go on with another configuration, already validated, and lose nothing by it."""

    def close(self) -> None:
        """Hand over what can still be handed over."""


@runtime_checkable
class Reporting(Protocol):
    """A component that has more to say in its health report than counters."""

    def health(self) -> Mapping[str, Any]:
        """Return what can be said as JSON, in few words."""


TICK_SECONDS = 0.05


class Loop:
    """A queue of calls and the one thread that makes them."""

    def __init__(self, counters: Counters, log: logging.Logger, clock: Clock, size: int = 10_000) -> None:
        self._calls: queue.Queue[Callable[[], None]] = queue.Queue(size)
        self._counters, self._log, self._clock = counters, log, clock
        self._exit: int | None = None
        self._broken = False
        self._clock_offset_ms = 0.0

    def post(self, call: Callable[[], None]) -> None:
        """Hand a call to the loop from any thread; over the queue's size it is dropped and counted (senders repeat)."""
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._counters.add("loop_overflow")

    def wake(self) -> None:
        """Let the component's tick run soon, from any thread."""
        if self._calls.empty():
            self._calls.put(lambda: None)

    def stop(self, code: int = 0) -> None:
        """Ask the loop to end with an exit code; the first one counts. Safe from a signal handler."""
        if self._exit is None:
            self._exit = code

    def run(self, component: Component[Any], report: Callable[[], None]) -> int:
        """Run until stopped and return the exit code. One failing call is logged and counted and blocks no other.

        But where memory ran out, any step may be half done, and what is on disk is all that can be trusted: the process
        ends as a kill -9 would end it, without ``close``, and is started again.
        """
        component.start()
        reported = self._clock.monotonic()
        self._clock_offset_ms = self._offset_ms()
        while self._exit is None:
            try:
                call = self._calls.get(timeout=TICK_SECONDS)
                self._guard(call)
                for _ in range(self._calls.qsize()):
                    self._guard(self._calls.get_nowait())
            except queue.Empty:
                pass
            self._guard(component.tick)
            self._watch_clock()
            if self._clock.monotonic() - reported >= HEALTH_SECONDS:
                reported = self._clock.monotonic()
                self._guard(report)
        if not self._broken:
            self._guard(component.close)
            self._guard(report)
        return self._exit or 0

    def _offset_ms(self) -> float:
        return self._clock.wall_ms() - 1000 * self._clock.monotonic()

    def _watch_clock(self) -> None:
        """Tell of a wall clock that was set: times that were given by it before and after do not fit together."""
        offset_ms = self._offset_ms()
        jump_s = (offset_ms - self._clock_offset_ms) / 1000
        if abs(jump_s) > CLOCK_JUMP_SECONDS:
            self._counters.add("clock_jumps")
            self._log.warning("the wall clock was set by %+.1f s", jump_s)
        # A clock that is slowly brought to the right time does not jump.
        self._clock_offset_ms = offset_ms

    def _guard(self, call: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            call()
        except ConnectionLostError as error:
            self._log.error("the connection to the nucleus is lost: %s", error)
            self.stop(EXIT_UNAVAILABLE)
        except MemoryError:
            self._broken = True
            self._exit = EXIT_SOFTWARE  # whatever was asked before: this is no good end
            self._log.exception("out of memory; the component ends and is to be started again from what is on disk")
        except Exception:  # noqa: BLE001 # the loop's outermost edge: one poisonous item must not stop the rest
            self._counters.add("errors")
            self._log.exception("a call failed; the loop goes on")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What ``build`` in a component's main.py wires the component to."""

    gateway: str
    bus: Bus
    clock: Clock
    counters: Counters
    log: logging.Logger
    limited_log: RateLimitedLog
    loop: Loop
    work: Path
    rng: random.Random


def run_component(name: str, kind: type[C], build: Callable[[C, Runtime], Component[C]]) -> int:
    """Run a component against the nucleus that started this process and return its exit code."""
    from edge_components.common.ipc import GreengrassBus  # the SDK takes 12 MB: a test of a component never pays

    gateway = os.environ.get("AWS_IOT_THING_NAME", "unknown")
    log = start_logging(gateway, name)
    counters, clock = Counters(), SystemClock()
    loop = Loop(counters, log, clock)
    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    signal.signal(signal.SIGINT, lambda *_: loop.stop())
    try:
        bus = GreengrassBus.connect(post=loop.post, lost=lambda: loop.stop(EXIT_UNAVAILABLE), log=log)
    except BusError as error:
        log.error("no connection to the nucleus: %s", error)
        return EXIT_UNAVAILABLE
    try:
        config = load(kind, bus.configuration())
        runtime = Runtime(
            gateway,
            bus,
            clock,
            counters,
            log,
            RateLimitedLog(counters, log, clock),
            loop,
            Path.cwd(),
            random.Random(),  # noqa: S311 # jitter, no secret
        )
        component = build(config, runtime)
        _watch(kind, config, component, runtime)
        log.info("started", extra={"fields": {"config": config, "pid": os.getpid()}})
        return loop.run(component, lambda: _report(name, component, runtime))
    except ConfigError as error:
        for problem in error.problems:
            log.error("configuration: %s", problem)
        return EXIT_CONFIG
    except BusError as error:
        log.error("start: %s", error)
        return EXIT_UNAVAILABLE
    except Exception:  # the process' outermost edge: the traceback must reach the component's log
        log.exception("start failed")
        return EXIT_SOFTWARE
    finally:
        bus.close()


def _watch(kind: type[C], current: C, component: Component[C], runtime: Runtime) -> None:
    """Refuse updates that do not validate, and hand valid ones to the component on its loop."""
    applied = current

    def validate(values: Mapping[str, Any]) -> str | None:
        try:
            load(kind, values)
        except ConfigError as error:
            runtime.counters.add("configuration_refused")
            runtime.log.error("configuration update refused, the old one stays: %s", error)
            return str(error)
        return None

    def apply() -> None:
        nonlocal applied
        values = runtime.bus.configuration()
        if validate(values) is None and (wanted := load(kind, values)) != applied:
            component.reconfigure(wanted)
            applied = wanted  # only now: one that could not be applied is tried again with the next update
            runtime.counters.add("configuration_applied")
            runtime.log.info("configuration updated", extra={"fields": {"config": applied}})

    runtime.bus.on_configuration(validate, apply)


def _report(name: str, component: object, runtime: Runtime) -> None:
    """Log the counters, the state and the worst keys of each reason, and publish them for the forwarder."""
    runtime.limited_log.summarize()
    report: dict[str, Any] = {"component": name, "counters": runtime.counters.snapshot()}
    if isinstance(component, Reporting) and (state := dict(component.health())):
        report["state"] = state
    if worst := runtime.limited_log.worst():
        report["worst"] = worst
    fields = {key: value for key, value in report.items() if key != "component"}
    runtime.log.info("counters", extra={"fields": fields})
    runtime.bus.publish(topics.HEALTH, fitted(report))


def fitted(report: Mapping[str, Any], limit: int = MAX_LOCAL_BYTES) -> bytes:
    """Encode a health report in at most ``limit`` bytes: with fewer worst keys, without state, only the counters."""
    worst = report.get("worst", {})
    for number in range(WORST_KEYS, 0, -1):
        fewer = {reason: dict(list(keys.items())[:number]) for reason, keys in worst.items()}
        encoded = json.dumps({**report, "worst": fewer} if fewer else report).encode()
        if len(encoded) <= limit:
            return encoded
    bare = {key: value for key, value in report.items() if key != "worst"}
    encoded = json.dumps(bare).encode()
    if len(encoded) > limit:
        bare.pop("state", None)
        encoded = json.dumps(bare).encode()
    return encoded
