"""Parts of a run, started in order and stopped in reverse: devices, broker, cloud, gateway, subscriber."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_sim import clouds
from device_sim.aws.front import Front
from device_sim.aws.local import LocalCloud
from device_sim.aws.store import CloudStore
from device_sim.cloud_kind import CloudKind
from device_sim.demo.configuration import FORWARDER, PROBE, SENSOR_READER, DemoOptions, merged_configuration
from device_sim.demo.machines import DeviceServers
from device_sim.demo.tap import Tap
from device_sim.errors import DemoError, SimulationError
from device_sim.greengrass.component_build import Build, Nucleus
from device_sim.greengrass.process import ERRORS, NucleusProcess
from device_sim.simulation.devices import Device, Sensors
from device_sim.simulation.mqtt_publisher import MqttPublisher
from device_sim.simulation.sensor_broker import SensorBroker
from device_sim.simulation.signals import Plant
from edge_components.common.ports import Clock

GATEWAY = "gw-demo"
READY_SECONDS = 90.0
PROBE_SECONDS = 0.1
WAIT_SECONDS = 0.1
WATCH_SECONDS = 5.0
"""Interval of the timer of alerts, which is a minute in AWS."""
MIN_FREE_BYTES = 1_000_000
MAX_LINE = 2_000
FAILED_STATES = ("ERRORED", "BROKEN")
RUNNING_STATES = ("NEW", "INSTALLED", "STARTING", "RUNNING", "STOPPING")

Print = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Site:
    """The started parts of a demo."""

    root: Path
    broker: SensorBroker
    cloud: LocalCloud | None
    front: Front | None
    store: CloudStore
    nucleus: NucleusProcess
    tap: Tap
    publisher: MqttPublisher
    devices: tuple[Device, ...]


def start(
    root: Path,
    plant: Plant,
    options: DemoOptions,
    build: Build,
    stack: contextlib.ExitStack,
    clock: Clock,
    show: Print,
) -> Site:
    """Start all parts below ``root``; ``stack`` stops them. Raises the error of the part that did not start."""
    built = build(root / "build", Nucleus.JAVA)
    show(f"built {len(built.components)} components")
    servers = DeviceServers.start(plant, clock, stack)
    broker = stack.enter_context(SensorBroker(root / "broker", options.broker_port, options.broker))
    show(f"broker for the sensors ({broker.kind}) on {broker.host}:{broker.port}")
    front = stack.enter_context(Front(options.page_port)) if options.cloud is CloudKind.AWS else None
    parameters = {} if front is None else front.parameters
    receiver = clouds.start(options.cloud, root, GATEWAY, stack, WATCH_SECONDS, parameters)
    cloud, credentials = receiver.aws, receiver.credentials
    if front is not None and cloud is not None:
        front.attach(cloud)
        show(f"page on {front.url}")
        if options.open_page:
            webbrowser.open(front.url)
    where = f" on {cloud.endpoint_url}" if cloud is not None else f" of {options.cloud}, without a page"
    show(f"cloud{where}, its MQTT on {credentials.host}:{credentials.port}")
    devices = servers.devices(broker, clock, stack)
    for device in devices:
        show(f"{device.machine} ({device.protocol}) on {device.address}")
    merge = merged_configuration(plant, options.duration_s, broker.port, [device.source for device in devices])
    merge[FORWARDER] |= receiver.uplink(credentials)
    nucleus = stack.enter_context(
        NucleusProcess.start(
            root / "gateway",
            GATEWAY,
            built.recipes,
            built.artifacts,
            built.versions,
            merge=merge,
            region=receiver.region,
            iot=receiver.of_nucleus(credentials),
        )
    )
    tap = Tap(nucleus.cli_info)
    stack.callback(tap.close)
    publisher = stack.enter_context(MqttPublisher(broker.host, broker.port, "strandline-sensors"))
    return Site(root, broker, cloud, front, receiver.store, nucleus, tap, publisher, devices)


def wait_until_ready(site: Site, clock: Clock) -> None:
    """Wait until the sensor reader receives from every source: forwards a probe from the broker, reads each device.

    Raises DemoError after READY_SECONDS.
    """
    deadline, pause, probes = time.monotonic() + READY_SECONDS, threading.Event(), 0
    while True:
        check_alive(site)
        check_started(site)
        silent = [] if site.tap.forwarded([PROBE]) else ["the sensors' broker"]
        silent += [device.machine for device in site.devices if not device.connected()]
        if not silent:
            return
        if time.monotonic() > deadline:
            raise DemoError(
                f"{SENSOR_READER} reads nothing from {', '.join(silent)} after {READY_SECONDS:g} s;"
                f" see {site.nucleus.logs}"
            )
        payload = f'{{"value":{probes},"time":{clock.wall_ms()}}}'
        site.publisher.publish("sensors/" + PROBE.replace(".", "/"), payload.encode())
        probes += 1
        pause.wait(PROBE_SECONDS)


def stop_component(site: Site, component: str, done: Callable[[], bool], deadline: float) -> None:
    """Stop a component; wait until it has ended and ``done`` holds, or until the deadline."""
    site.tap.stop_component(component)
    wait(site, lambda: site.tap.state(component) not in RUNNING_STATES and done(), deadline)


def wait(site: Site, condition: Callable[[], bool], deadline: float) -> bool:
    """Wait until the condition holds and return True, or until the deadline (monotonic seconds) and return False."""
    pause = threading.Event()
    while not condition():
        check_alive(site)
        if time.monotonic() > deadline:
            return False
        pause.wait(WAIT_SECONDS)
    return True


def addresses(site: Site) -> str:
    """Return the addresses of the running parts, one per line."""
    return "\n".join(
        (
            *([] if site.front is None else _of_front(site.front)),
            f"sensors' broker  mqtt://{site.broker.host}:{site.broker.port}, topics sensors/<device>/<channel>",
            *(f"{device.machine:<16} {device.address} ({device.protocol})" for device in site.devices),
            f"gateway          {site.nucleus.root}",
            *([] if site.cloud is None else _of_aws(site.cloud)),
        )
    )


def _of_front(front: Front) -> list[str]:
    return [
        f"page             {front.url}",
        "API              for strandline alerts, gateways, series, rules and silences:",
        f"export STRANDLINE_URL={front.url}",
        f"export STRANDLINE_TOKEN={front.token('demo', 'operator')}",
    ]


def _of_aws(cloud: LocalCloud) -> list[str]:
    return [
        "cloud            for any AWS tool:",
        *(f"export {name}={value}" for name, value in cloud.environment.items()),
        *(f"  {name:<26} {value}" for name, value in sorted(cloud.outputs.items())),
    ]


def check_alive(site: Site) -> None:
    """Raise DemoError when the nucleus has ended, with the reason: a full disk, or its last line."""
    if not site.nucleus.alive:
        reason = full_disk(site.root) or last_line(site.nucleus.root / ERRORS) or "without a message"
        raise DemoError(f"the nucleus has ended: {reason}; see {site.nucleus.logs}")


def check_started(site: Site) -> None:
    """Raise DemoError when a component has failed during the start, with the last line of its log."""
    for component, state in site.nucleus.states().items():
        if state in FAILED_STATES:
            reason = full_disk(site.root) or last_line(site.nucleus.log(component)) or "its log is empty"
            raise DemoError(f"{component} is {state}: {reason}; see {site.nucleus.log(component)}")


def full_disk(folder: Path, free: Callable[[Path], int] | None = None) -> str:
    """Return a sentence if the disk of a folder is full, else an empty text."""
    try:
        left = shutil.disk_usage(folder).free if free is None else free(folder)
    except OSError:
        return ""
    return f"the disk of {folder} is full ({left:,} bytes are free)" if left < MIN_FREE_BYTES else ""


def last_line(log: Path) -> str:
    """Return the last line of a log that is not empty, an empty text without one."""
    try:
        text = log.read_text(errors="replace")[-MAX_LINE:]
    except OSError:
        return ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


class SensorThread:
    """Thread that runs the sensors; a context manager that stops them."""

    def __init__(self, sensors: Sensors, duration_s: float, stop: threading.Event) -> None:
        self._stop = stop
        self._error: SimulationError | None = None
        self._thread = threading.Thread(target=self._run, args=(sensors, duration_s), name="sensors", daemon=True)

    def __enter__(self) -> SensorThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def running(self) -> bool:
        """True while the sensors send; raises the error that ended them."""
        if not self._thread.is_alive() and self._error is not None:
            raise self._error
        return self._thread.is_alive()

    def _run(self, sensors: Sensors, duration_s: float) -> None:
        try:
            sensors.run(duration_s)
        except SimulationError as error:
            self._error = error
