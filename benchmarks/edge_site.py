"""The system under test: mosquitto, the local nucleus with the four built components, and the local cloud."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.edge_broker import Mosquitto
from benchmarks.edge_load_process import Load, LoadProcess
from benchmarks.edge_measure import Sample, Usage, pss_bytes, usage
from cloud_functions.core.columns import merge
from device_sim.aws.local import LocalCloud
from device_sim.aws.store import CloudStore
from device_sim.greengrass.component_build import Built
from device_sim.greengrass.process import NucleusProcess

READER, AGGREGATOR = "io.strandline.SensorReader", "io.strandline.Aggregator"
DETECTOR, FORWARDER = "io.strandline.AnomalyDetector", "io.strandline.Forwarder"
COMPONENTS = {"reader": READER, "aggregator": AGGREGATOR, "detector": DETECTOR, "forwarder": FORWARDER}
READY_SECONDS = 120.0
POLL_SECONDS = 0.5


class MeasureError(Exception):
    """A figure cannot be measured; the message states the reason."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Parameters of all experiments: folder, packed components, cloud, and how the gateway runs."""

    root: Path
    built: Built
    cloud: LocalCloud
    profile: str
    settings: Mapping[str, Mapping[str, Any]]
    drain: float
    log: Callable[[str], None]


class Gateway:
    """One gateway with a broker and a nucleus of its own; a context manager that ends both."""

    def __init__(
        self,
        bench: Bench,
        name: str,
        in_flight: int | None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        strict: bool = False,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        """``source`` has further keys of the sensor reader's source."""
        self._source = source or {}
        self._bench, self.name, self.in_flight, self._strict = bench, name, in_flight, strict
        self._folder = bench.root / name
        self._stack = contextlib.ExitStack()
        self._settings = settings or {}
        self.store = CloudStore(bench.cloud)
        self._pids: dict[str, int] = {}

    def __enter__(self) -> Self:
        with self._stack as stack:
            bench = self._bench
            self.broker = stack.enter_context(Mosquitto(self._folder / "broker", self.in_flight, self._strict))
            self.nucleus = stack.enter_context(
                NucleusProcess.start(
                    self._folder / "nucleus",
                    self.name,
                    bench.built.recipes,
                    bench.built.artifacts,
                    bench.built.versions,
                    merge=self._merged(),
                    profile=bench.profile,
                    region=bench.cloud.region,
                    iot=bench.cloud.provision_gateway(self.name),
                )
            )
            self.nucleus.wait_running(READY_SECONDS)
            self._pids = {short: self._pid(name) for short, name in COMPONENTS.items()}
            self.broker.wait_subscribed()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _merged(self) -> dict[str, dict[str, Any]]:
        merged: dict[str, dict[str, Any]] = {READER: {}}
        for given in (self._bench.settings, self._settings):
            for component, values in given.items():
                merged.setdefault(component, {}).update(values)
        window = {} if self.in_flight is None else {"inflight": self.in_flight}
        load = {"name": "mqtt", "kind": "mqtt", "port": self.broker.reader_port, **window, **self._source}
        others = merged[READER].pop("sources", [{"name": "host", "kind": "host"}])
        merged[READER]["sources"] = [load, *others]
        return merged

    def _pid(self, component: str) -> int:
        pid = self.nucleus.component_pid(component)
        if pid is None:
            raise MeasureError(f"{component} does not run")
        return pid

    def start_load(self, load: Load) -> LoadProcess:
        """Start to send readings to this gateway's broker."""
        return LoadProcess(load, self.broker.port, self._folder / "load.stderr")

    def sample(self, load: LoadProcess | None = None) -> Sample:
        """Return what every process has used; raises MeasureError when a component was restarted."""
        for short, component in COMPONENTS.items():
            if self.nucleus.component_pid(component) != self._pids[short]:
                raise MeasureError(f"{component} was restarted; see {self.nucleus.log(component)}")
        trees = {**self._pids, "mosquitto": self.broker.pid, "cloud": self._bench.cloud.pid}
        if load is not None:
            trees["load"] = load.pid
        at, used = time.monotonic(), {name: usage(pid) for name, pid in trees.items()}
        whole = usage(self.nucleus.pid)  # its descendants are the components
        mine = sum((used[short] for short in COMPONENTS), start=Usage())
        return Sample(at, {**used, "nucleus": whole - mine})

    def pss(self) -> dict[str, int]:
        """Return the proportional set size of each component, bytes."""
        return {short: pss_bytes(pid) for short, pid in self._pids.items()}

    def stored(self, series: Collection[str]) -> int:
        """Return how many readings are in the aggregates that the cloud has of the load's series."""
        rows = merge([self.store.aggregates(self.name)])  # a revision replaces the rows before it
        known, names = {one.name for one in rows.series}, set(series)
        if not known & names:
            return 0
        mine = [at for at, one in enumerate(rows.series) if one.name in names]
        return int(rows.count[np.isin(rows.series_index, mine)].sum())

    def wait_aggregated(self, readings: int, seconds: float) -> int:
        """Wait until the aggregator has that many readings in closed windows, and return how many it has.

        By the counters that it logs every ten seconds.
        """
        deadline = time.monotonic() + seconds
        while (found := self.counters().get("aggregator", {}).get("readings_aggregated", 0)) < readings:
            if time.monotonic() > deadline:
                break
            time.sleep(2.0)
        return found

    def wait_stored(self, series: Collection[str], readings: int, seconds: float) -> int:
        """Wait until the cloud has that many readings, at most ``seconds``, and return how many it has."""
        deadline = time.monotonic() + seconds
        while (stored := self.stored(series)) < readings and time.monotonic() < deadline:
            time.sleep(2.0)
        return stored

    def counters(self) -> dict[str, dict[str, int]]:
        """Return the last counters that each component logged."""
        found: dict[str, dict[str, int]] = {}
        for short, component in COMPONENTS.items():
            for line in self.nucleus.log(component).read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict) and entry.get("message") == "counters":
                        found[short] = entry["counters"]
        return found
