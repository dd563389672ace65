"""Lifecycle of a component: connect, read the configuration, build, run the loop until stopped.

One thread runs all code of a component (:mod:`edge_components.common.loop`). Messages are posted to the loop's queue;
the component's ``tick`` runs after messages and when it is due. So components need no locks.

A nucleus restarts a failing component at most three times per hour. So a component exits only on request, or if a new
process helps. Exit codes, as in sysexits.h: 0 stopped on request, 69 only a new process can connect to the nucleus,
70 internal error, 78 the configuration is invalid and no earlier one is kept.
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
from edge_components.common.version import VERSION
from wire import topics
from wire.limits import MAX_LOCAL_BYTES

HEALTH_SECONDS = 10.0
CONFIGURATION_SECONDS = 60.0
"""Interval at which the configuration is read: a nucleus can silently lose the subscription to its updates."""
_START_SLICE_SECONDS = 0.2
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


class Component(Protocol[C_contra]):
    """Interface of a component; every method is called on the loop."""

    def start(self) -> None:
        """Subscribe and begin to work."""

    def tick(self) -> float:
        """Perform the work that is due; return the maximum seconds until the next call."""

    def reconfigure(self, config: C_contra) -> None:
        """Apply another, validated configuration without loss of data."""

    def close(self) -> None:
        """Send what can still be sent, and release resources."""


@runtime_checkable
class Reporting(Protocol):
    """Component whose health report includes a state."""

    def health(self) -> Mapping[str, Any]:
        """Return the state as JSON values."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Objects that ``build`` in a component's main.py passes to the component."""

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
    """Bus with the methods that only its owner calls."""

    def close(self) -> None:
        """End the connection."""


def run_component(name: str, kind: type[C], build: Callable[[C, Runtime], Component[C]]) -> int:
    """Run a component with the nucleus that started this process and return its exit code."""
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
    except Exception:  # outermost edge of the process: the traceback is logged
        log.exception("start failed")
        return EXIT_SOFTWARE
    finally:
        bus.close()


def _connected(
    loop: Loop, clock: Clock, limited_log: RateLimitedLog, rng: random.Random
) -> tuple[_RunnableBus, Mapping[str, Any]] | None:
    """Connect and read the configuration, with retries; return None if the loop was stopped."""
    from edge_components.common.ipc import GreengrassBus  # the SDK takes 12 MB, which tests of components do not need

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
            if isinstance(error, NoNucleusError) or schedule.must_exit(clock.monotonic()):
                loop.stop(EXIT_UNAVAILABLE)
    return None


def _run(name: str, component: Component[C], runtime: Runtime, configuration: LiveConfiguration[C]) -> int:
    """Run the component until the loop is stopped, and close it unless memory was exhausted."""
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
    loop.call_guarded(component.close)
    loop.call_guarded(report)
    return code


def _report(name: str, component: object, runtime: Runtime, configuration: LiveConfiguration[Any]) -> None:
    """Log the counters, the state and the most frequent keys of each reason, and publish them."""
    runtime.limited_log.summarize(final=runtime.loop.stopping)
    report: dict[str, Any] = {"component": name, "version": VERSION, "counters": runtime.counters.snapshot()}
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
    """Encode a health report in at most ``limit`` bytes, if necessary with fewer keys or without the state."""
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
