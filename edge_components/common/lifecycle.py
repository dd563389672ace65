"""The life of a component: connect, read the configuration, build, loop until told to stop.

One thread runs everything a component does (:mod:`edge_components.common.loop`). What arrives is posted to the loop's
queue; after arrivals, and when it is due, the component's ``tick`` runs. So components need no locks, and tests call
the same methods in any order.

A nucleus starts a failing component three times an hour at most. So a component ends only when it is asked to, or when
a new process is the cure. Exit codes: 0 asked to stop, 69 only a new process can connect to the nucleus, 70 an error of
ours, 78 the configuration does not validate and no earlier one is kept (the values of sysexits.h).
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from edge_components.common.connection_schedule import ConnectionSchedule
from edge_components.common.errors import BusError, ConfigError, ConnectionRefusedByNucleusError, NoNucleusError
from edge_components.common.health import Counters, start_logging
from edge_components.common.limited_log import WORST_KEYS, RateLimitedLog
from edge_components.common.live_configuration import FILE, LastGoodConfiguration, LiveConfiguration
from edge_components.common.loop import EXIT_CONFIG, EXIT_SOFTWARE, EXIT_UNAVAILABLE, Loop, Periodic
from edge_components.common.ports import Bus, Clock, SystemClock
from wire import topics
from wire.limits import MAX_LOCAL_BYTES

HEALTH_SECONDS = 10.0
CONFIGURATION_SECONDS = 60.0
"""How often the configuration is read, for a nucleus can lose the subscription to its updates without a sign."""
_START_SLICE_SECONDS = 0.2
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


class Component(Protocol[C_contra]):
    """A component's part in its life; every method is called on the loop."""

    def start(self) -> None:
        """Subscribe and begin."""

    def tick(self) -> float:
        """Do what is due, after arrivals and as time passes; return the seconds until the next call at the latest."""

    def reconfigure(self, config: C_contra) -> None:
        """Go on with another configuration, already validated, and lose nothing by it."""

    def close(self) -> None:
        """Hand over what can still be handed over."""


@runtime_checkable
class Reporting(Protocol):
    """A component whose health report has more than counters."""

    def health(self) -> Mapping[str, Any]:
        """Return a few facts that JSON can express."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts that ``build`` in a component's main.py wires the component to."""

    gateway: str
    bus: Bus
    clock: Clock
    counters: Counters
    log: logging.Logger
    limited_log: RateLimitedLog
    loop: Loop
    work: Path
    rng: random.Random


class _RunnableBus(Bus, Protocol):
    """The bus as its owner sees it."""

    def close(self) -> None:
        """End the connection."""


def run_component(name: str, kind: type[C], build: Callable[[C, Runtime], Component[C]]) -> int:
    """Run a component against the nucleus that started this process and return its exit code."""
    gateway = os.environ.get("AWS_IOT_THING_NAME", "unknown")
    log = start_logging(gateway, name)
    counters, clock = Counters(), SystemClock()
    limited_log = RateLimitedLog(counters, log, clock)
    loop = Loop(log, limited_log, clock)
    rng = random.Random()  # noqa: S311 # jitter, no secret
    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    signal.signal(signal.SIGINT, lambda *_: loop.stop())
    found = _connected(loop, clock, limited_log, rng)
    if found is None:
        return loop.run(())
    bus, values = found
    try:
        configuration = LiveConfiguration(kind, bus, LastGoodConfiguration(Path.cwd() / FILE, log), log, limited_log)
        config = configuration.begin(values)
        runtime = Runtime(gateway, bus, clock, counters, log, limited_log, loop, Path.cwd(), rng)
        component = build(config, runtime)
        log.info("started", extra={"fields": {"config": config, "pid": os.getpid()}})
        return _run(name, component, runtime, configuration)
    except ConfigError:
        return EXIT_CONFIG
    except Exception:  # the process' outermost edge: the traceback must reach the component's log
        log.exception("start failed")
        return EXIT_SOFTWARE
    finally:
        bus.close()


def _connected(
    loop: Loop, clock: Clock, limited_log: RateLimitedLog, rng: random.Random
) -> tuple[_RunnableBus, Mapping[str, Any]] | None:
    """Connect and read the configuration, again until it works; None when the loop was stopped before."""
    from edge_components.common.ipc import GreengrassBus  # the SDK takes 12 MB: a test of a component never pays

    schedule = ConnectionSchedule(clock.monotonic(), rng)
    while not loop.stopping:
        if not schedule.attempt_due(clock.monotonic()):
            time.sleep(min(_START_SLICE_SECONDS, schedule.next_s(clock.monotonic())))
            continue
        bus = GreengrassBus(loop, clock, limited_log, rng, give_up=lambda: loop.stop(EXIT_UNAVAILABLE))
        try:
            bus.connect()
            return bus, bus.configuration()
        except BusError as error:
            bus.close()
            refused = isinstance(error, ConnectionRefusedByNucleusError)
            schedule.failed(clock.monotonic(), refused=refused)
            limited_log.error("connections_failed", f"{error}")
            if isinstance(error, NoNucleusError) or schedule.hopeless(clock.monotonic()):
                loop.stop(EXIT_UNAVAILABLE)
    return None


def _run(name: str, component: Component[C], runtime: Runtime, configuration: LiveConfiguration[C]) -> int:
    """Run the component until the loop is stopped, and close it unless the process must not touch its files."""
    loop, bus, clock = runtime.loop, runtime.bus, runtime.clock

    def update() -> None:
        configuration.update(component.reconfigure)

    def report() -> None:
        _report(name, component, runtime, configuration)

    component.start()
    bus.on_configuration(configuration.validate, update)
    code = loop.run(
        (
            component.tick,
            bus.tick,
            Periodic(HEALTH_SECONDS, report, clock),
            Periodic(CONFIGURATION_SECONDS, update, clock),
        )
    )
    loop.guard(component.close)
    loop.guard(report)
    return code


def _report(name: str, component: object, runtime: Runtime, configuration: LiveConfiguration[Any]) -> None:
    """Log the counters, the state and the worst keys of each reason, and publish them for the forwarder."""
    runtime.limited_log.summarize(final=runtime.loop.stopping)
    report: dict[str, Any] = {"component": name, "counters": runtime.counters.snapshot()}
    state = configuration.health()
    if inactive := list(runtime.bus.inactive()):
        state["subscriptions_inactive"] = inactive
    if isinstance(component, Reporting):
        state |= component.health()
    if state:
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
