"""Actions of each kind of fault."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from device_sim.chaos import clock as clocks
from device_sim.chaos import disks
from device_sim.chaos.action import Action
from device_sim.chaos.azure_faults import azure_faults
from device_sim.chaos.broker import PersistentBroker
from device_sim.chaos.disks import Disk
from device_sim.chaos.downlink import AcknowledgementFault
from device_sim.chaos.errors import ChaosError
from device_sim.chaos.gateway import AGGREGATOR, DETECTOR, FORWARDER, READER, Gateway
from device_sim.chaos.nucleus_faults import nucleus_faults
from device_sim.chaos.proxy import Line
from device_sim.chaos.source import DurablePublisher

if TYPE_CHECKING:  # the packages of Azure are optional
    from device_sim.azure.local import LocalAzure

AWAY_SECONDS = 1.0
EXTRA_BYTES = 2_000_000
"""Number of bytes that a component with a memory limit can still map."""

SLOW_LATENCY_S, SLOW_BYTES_PER_S = 0.15, 20_000.0
DELAY_S = 4.0
EMULATOR = "device_sim.aws.emulator"


@dataclass(frozen=True, slots=True)
class SystemUnderTest:
    """Parts of the system that faults affect."""

    gateway: Gateway
    broker: PersistentBroker
    publisher: DurablePublisher
    disk: Disk
    cloud_line: Line
    reader_line: Line
    source_line: Line
    clock: clocks.ComponentClock
    azure: LocalAzure | None = None


def actions(system: SystemUnderTest) -> dict[str, Callable[[float], Action]]:
    """Return the action of each kind of fault, given its random choice."""
    gateway, cloud, reader = system.gateway, system.cloud_line, system.reader_line
    known: dict[str, Callable[[float], Action]] = {
        **nucleus_faults(gateway, cloud),
        "broker killed": lambda _: Action(lambda: _kill_broker(system)),
        "lambda worker killed": lambda choice: Action(lambda: _kill_lambda(choice)),
        "cloud line cut": lambda _: Action(lambda: _cut(cloud)),
        "cloud line refused": lambda _: Action(lambda: _refuse(cloud), cloud.accept),
        "cloud line slow": lambda _: _change_conditions(
            cloud,
            {"latency_s": SLOW_LATENCY_S, "bytes_per_s": SLOW_BYTES_PER_S},
            {"latency_s": 0.0, "bytes_per_s": 0.0},
        ),
        "cloud line dead upwards": lambda choice: _dead(cloud, ("up_dead",), choice),
        "cloud line dead downwards": lambda choice: _dead(cloud, ("down_dead",), choice),
        "cloud line dead both ways": lambda choice: _dead(cloud, ("up_dead", "down_dead"), choice),
        "acknowledgements lost": lambda _: _fault_acknowledgements(cloud, AcknowledgementFault.LOSE),
        "acknowledgements doubled": lambda _: _fault_acknowledgements(cloud, AcknowledgementFault.DOUBLE),
        "acknowledgements reordered": lambda _: _fault_acknowledgements(cloud, AcknowledgementFault.REORDER),
        "acknowledgements delayed": lambda _: _fault_acknowledgements(cloud, AcknowledgementFault.DELAY),
        "reader's line cut": lambda _: Action(lambda: _cut(reader)),
        "reader's line refused": lambda _: Action(lambda: _refuse(reader), reader.accept),
        "reader's line slow": lambda _: _slow(reader, 0.0),
        "reader's line dead": lambda choice: _dead(reader, ("up_dead", "down_dead"), choice),
        "source's line cut": lambda _: Action(lambda: _cut(system.source_line)),
        "disk full": lambda choice: _full_disk(system, choice),
        "disk read-only": lambda _: Action(lambda: _read_only(system), system.disk.writable),
        "spool bytes flipped": lambda choice: Action(lambda: _flip(gateway, FORWARDER, disks.SPOOL, choice)),
        "journal bytes flipped": lambda choice: Action(lambda: _flip(gateway, AGGREGATOR, disks.JOURNAL, choice)),
        "calibration bytes flipped": lambda choice: Action(lambda: _flip(gateway, DETECTOR, "calibration", choice)),
        "memory short": lambda choice: _MemoryLimit(gateway, choice).action,
    }
    for name, component in (
        ("reader", READER),
        ("aggregator", AGGREGATOR),
        ("detector", DETECTOR),
        ("forwarder", FORWARDER),
    ):
        known[f"{name} killed"] = _kill(gateway, component)
        known[f"{name} frozen"] = _freeze(gateway, component)
    if system.azure is not None:
        known |= azure_faults(system.azure)
    known["clock set back an hour"] = _clock(system.clock, -clocks.HOUR)
    known["clock set forward a year"] = _clock(system.clock, clocks.YEAR)
    return known


def _process_text(what: str, number: int | None) -> str | None:
    return None if number is None else f"{what} {number}"


def _kill(gateway: Gateway, component: str) -> Callable[[float], Action]:
    return lambda _: Action(lambda: _process_text("process", gateway.signal(component, signal.SIGKILL)))


def _freeze(gateway: Gateway, component: str) -> Callable[[float], Action]:
    return lambda _: _Frozen(gateway, component).action


def _clock(clock: clocks.ComponentClock, seconds: int) -> Callable[[float], Action]:
    def apply() -> str:
        clock.set(seconds)
        return f"the components' wall clock is off by {seconds:+,} s"

    return lambda _: Action(apply, lambda: clock.set(0))


def _kill_broker(system: SystemUnderTest) -> str:
    pid = system.broker.kill()
    time.sleep(AWAY_SECONDS)
    system.broker.start()
    return f"process {pid}, back after {AWAY_SECONDS:g} s, {system.publisher.publish_unsaved()} readings sent again"


def _kill_lambda(choice: float) -> str | None:
    """Kill a worker of the emulator, which is a child process of this one."""
    workers = []
    for child in psutil.Process().children():
        if EMULATOR in child.cmdline():
            workers += child.children(recursive=True)
    if not workers:
        return None
    worker = workers[int(choice * len(workers))]
    worker.kill()
    return f"process {worker.pid}, one of {len(workers)}"


def _cut(line: Line) -> str | None:
    number = line.connections
    if not number:
        return None
    line.cut()
    return f"{number} connections"


def _refuse(line: Line) -> str:
    line.refuse()
    return f"port {line.port} is closed"


def _change_conditions(line: Line, bad: dict[str, Any], good: dict[str, Any]) -> Action:
    def change(values: dict[str, Any]) -> str:
        for name, value in values.items():
            setattr(line.conditions, name, value)
        return ", ".join(f"{name} {value}" for name, value in values.items())

    return Action(lambda: change(bad), lambda: change(good))


def _slow(line: Line, bytes_per_s: float) -> Action:
    slow = {"latency_s": SLOW_LATENCY_S, "bytes_per_s": bytes_per_s}
    return _change_conditions(line, slow, {"latency_s": 0.0, "bytes_per_s": 0.0})


def _dead(line: Line, directions: tuple[str, ...], choice: float) -> Action:
    """Return the action that blocks a line; in half of the cases it also cuts the connections at the end."""
    conditions = _change_conditions(line, dict.fromkeys(directions, True), dict.fromkeys(directions, False))

    def undo() -> None:
        if choice < 0.5:
            line.cut()
        conditions.undo()

    return Action(conditions.apply, undo)


def _fault_acknowledgements(line: Line, fault: AcknowledgementFault) -> Action:
    return _change_conditions(
        line, {"acknowledgements": fault, "delay_s": DELAY_S}, {"acknowledgements": AcknowledgementFault.NONE}
    )


def _full_disk(system: SystemUnderTest, choice: float) -> Action:
    """Return the action that fills the disk; in half of the cases the forwarder is killed and must restart on it."""

    def apply() -> str | None:
        if choice < 0.5 and system.gateway.pid(FORWARDER) is None:
            return None
        system.disk.fill()
        if choice < 0.5:
            return f"and process {system.gateway.signal(FORWARDER, signal.SIGKILL)} killed on it"
        return "no free space"

    return Action(apply, system.disk.empty)


def _read_only(system: SystemUnderTest) -> str | None:
    """Kill the forwarder and make its disk read-only before it restarts; this requires that no process writes there."""
    pid = system.gateway.signal(FORWARDER, signal.SIGKILL)
    if pid is None:
        return None
    deadline = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            system.disk.read_only()
        except ChaosError:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.005)
        else:
            return f"under the forwarder, whose process {pid} was killed"


def _flip(gateway: Gateway, component: str, name: str, choice: float) -> str | None:
    folder = gateway.work(component)
    if not any(folder.glob(f"{name}*")) or gateway.signal(component, signal.SIGKILL) is None:
        return None
    # The next process needs a second to start; the files of the killed one are released at once.
    return disks.flip(folder, name, choice)


class _Frozen:
    """Fault that stops a component with SIGSTOP and continues it later, unless it was killed meanwhile."""

    def __init__(self, gateway: Gateway, component: str) -> None:
        self._gateway, self._component = gateway, component
        self._pid: int | None = None
        self.action = Action(self._apply, self._undo)

    def _apply(self) -> str | None:
        self._pid = self._gateway.signal(self._component, signal.SIGSTOP)
        return _process_text("process", self._pid)

    def _undo(self) -> None:
        if self._pid is not None and psutil.pid_exists(self._pid):
            os.kill(self._pid, signal.SIGCONT)


class _MemoryLimit:
    """Fault that limits the memory of a component to little more than it has."""

    def __init__(self, gateway: Gateway, choice: float) -> None:
        self._gateway, self._component = gateway, (AGGREGATOR, FORWARDER, READER)[int(choice * 3)]
        self._pid: int | None = None
        self.action = Action(self._apply, self._undo)

    def _apply(self) -> str | None:
        pid = self._gateway.pid(self._component)
        if pid is None:
            return None
        process = psutil.Process(pid)
        limit = int(process.memory_info().vms) + EXTRA_BYTES
        process.rlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        self._pid = pid
        return f"{self._component}, process {pid}, may map {EXTRA_BYTES:,} bytes more"

    def _undo(self) -> None:
        if self._pid is not None and psutil.pid_exists(self._pid):
            psutil.Process(self._pid).rlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
