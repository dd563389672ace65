"""Run of the demo: start the parts, send readings with faults, wait for the cloud, prove, stop the parts."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from device_sim.aws.errors import CloudSimError
from device_sim.aws.process import check_port
from device_sim.clouds import check
from device_sim.demo import site as sites
from device_sim.demo.configuration import SENSOR_READER, WINDOW_MS, DemoOptions
from device_sim.demo.judge import Judge
from device_sim.demo.progress import Progress, Snapshot
from device_sim.demo.site import SensorThread, Site
from device_sim.demo.summary import Summary, show
from device_sim.errors import DemoError, SimulationError
from device_sim.greengrass.component_build import Build
from device_sim.greengrass.errors import NucleusError
from device_sim.interrupts import InterruptedRunError, Interrupts
from device_sim.simulation.devices import Pace, Sensors
from device_sim.simulation.faults import schedule
from device_sim.simulation.signals import demo_plant
from edge_components.common.ports import SystemClock

DRAIN_SECONDS = 60.0
PASS_SECONDS = 10.0
SETTLE_SECONDS = 3.0
"""Time for which the proof must hold before the run ends, to detect late duplicates."""

DISPLAY_SECONDS = 2.0
TICK_SECONDS = 0.25
FOLDER = Path(".strandline")


Publish = Callable[[Summary], None]


def run(options: DemoOptions, console: Console, build: Build, publish: Publish = lambda summary: None) -> int:
    """Run the demo and return its exit code: 0 only if both proofs hold. All started parts are stopped.

    ``publish`` receives the summary as soon as it is known.
    """
    code = 1
    root = None
    with Interrupts() as interrupts:
        try:
            root = _make_root()
            with contextlib.ExitStack() as stack:
                try:
                    summary = _Run(options, root, stack, console, build, publish).run()
                finally:
                    interrupts.hold()
            code = 0 if summary.holds else 1
        except InterruptedRunError as error:
            console.print(f"stopped by {error}; all processes have ended", highlight=False)
            code = error.exit_code
        except (SimulationError, CloudSimError, NucleusError) as error:
            console.print(f"[bold red]the demo failed:[/] {error}", highlight=False, soft_wrap=True)
        except OSError as error:
            reason = sites.full_disk(root or FOLDER) or f"{error.filename or 'a file'}: {error.strerror}"
            console.print(f"[bold red]the demo failed:[/] {reason}", highlight=False, soft_wrap=True)
        except Exception:  # noqa: BLE001 # outermost edge of the command: a defect, shown with its traceback
            console.print_exception()
    if root is not None:
        if code == 0:
            shutil.rmtree(root, ignore_errors=True)
        else:
            console.print(f"logs: {root}", highlight=False, soft_wrap=True)
    return code


def _make_root() -> Path:
    """Return a new folder for the run."""
    try:
        FOLDER.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="demo-", dir=FOLDER)).resolve()
    except OSError as error:
        raise DemoError(f"{error.filename}: {error.strerror}") from error


class _Run:
    """State and steps of one run."""

    def __init__(
        self,
        options: DemoOptions,
        root: Path,
        stack: contextlib.ExitStack,
        console: Console,
        build: Build,
        publish: Publish,
    ) -> None:
        self._options, self._root, self._stack, self._console = options, root, stack, console
        self._build, self._publish = build, publish
        self._clock = SystemClock()
        self._pause = threading.Event()

    def run(self) -> Summary:
        """Run, show and publish the result, and return it."""
        options = self._options
        check(options.cloud)
        if options.page_port is not None:
            check_port(options.page_port, "the page (--page-port)")
        if options.broker_port:
            check_port(options.broker_port, "the broker (--broker-port)")
        plant = demo_plant(options.seed)
        progress = Progress(self._console)
        site = sites.start(self._root, plant, options, self._build, self._stack, self._clock, progress.print)
        progress.print("waiting for the components to start")
        sites.wait_until_ready(site, self._clock)
        stop = threading.Event()
        faults = schedule(plant, options.duration_s, options.seed)
        pace = Pace(self._clock, stop.wait)
        sensors = Sensors(plant, faults, site.publisher, pace, WINDOW_MS, site.devices)
        judge = Judge(site.store, sites.GATEWAY, site.tap, sensors)
        progress.print(f"{len(plant.series)} sensors send for {options.duration_s:g} s, with {len(faults)} faults")
        with progress, SensorThread(sensors, options.duration_s, stop) as thread:
            self._watch(site, sensors, thread, judge, progress)
            progress.print("the sensors have stopped; waiting until the cloud has stored all rows")
            self._drain(site, sensors, judge, progress)
        usage = site.store.usage()
        summary = judge.summary(options.seed, options.duration_s, usage)
        show(summary, self._console)
        self._publish(summary)
        if options.keep_running:
            with contextlib.suppress(InterruptedRunError):  # the regular end
                self._keep_running(site)
        return summary

    def _watch(self, site: Site, sensors: Sensors, thread: SensorThread, judge: Judge, progress: Progress) -> None:
        started, shown = time.monotonic(), 0.0
        while thread.running:
            sites.check_alive(site)
            for failure in site.nucleus.new_failures():
                progress.print(f"[yellow]{failure}[/]")
            now = time.monotonic()
            if now - shown >= DISPLAY_SECONDS:
                shown = now
                progress.show(self._snapshot(now - started, site, sensors, judge))
            self._pause.wait(TICK_SECONDS)

    def _snapshot(self, elapsed: float, site: Site, sensors: Sensors, judge: Judge) -> Snapshot:
        receipts, now = judge.receipts(), self._clock.wall_ms()
        return Snapshot(
            elapsed_s=elapsed,
            duration_s=self._options.duration_s,
            sent=sensors.sent,
            made=site.tap.rows,
            stored=sum(receipt.rows for receipt in receipts),
            batches=len(receipts),
            size=sum(receipt.size for receipt in receipts),
            acknowledged=judge.acknowledgements(),
            alarms=judge.alarms(),
            open_faults=[fault for fault in sensors.labels() if fault.start_ms <= now < fault.end_ms],
        )

    def _drain(self, site: Site, sensors: Sensors, judge: Judge, progress: Progress) -> None:
        """Stop the sensor reader, let the last windows close by the idle timeout, then wait until all rows are stored.

        Also returns at the deadline; the summary then states the missing rows.
        """
        deadline = time.monotonic() + DRAIN_SECONDS
        names, sent = [series.name for series in sensors.plant.series], sensors.sent
        sites.wait(site, lambda: site.tap.forwarded(names) >= sent, time.monotonic() + PASS_SECONDS)
        sites.stop_component(site, SENSOR_READER, site.tap.readings_acknowledged, deadline)
        held_since = None
        while held_since is None or time.monotonic() - held_since < SETTLE_SECONDS:
            if time.monotonic() > deadline:
                progress.print(f"[red]rows are still missing in the cloud after {DRAIN_SECONDS:g} s[/]")
                return
            sites.check_alive(site)
            held_since = (held_since or time.monotonic()) if judge.compare().holds else None
            self._pause.wait(TICK_SECONDS)

    def _keep_running(self, site: Site) -> None:
        """Continue with sensors without faults until the run is interrupted."""
        site.tap.restart_component(SENSOR_READER)
        self._console.print(sites.addresses(site), highlight=False, soft_wrap=True)
        self._console.print("running without faults until Ctrl-C")
        stop = threading.Event()
        plant, pace = demo_plant(self._options.seed), Pace(self._clock, stop.wait)
        forever = Sensors(plant, (), site.publisher, pace, 60_000, site.devices)
        with SensorThread(forever, 10 * 365 * 86_400.0, stop) as thread:
            while thread.running:
                sites.check_alive(site)
                self._pause.wait(1.0)
