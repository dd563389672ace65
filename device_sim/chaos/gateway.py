"""Gateway under test: a nucleus that can be killed, its components, and the actions of an operator.

A component that failed too often is BROKEN, as on a real core, until an operator deploys it again: this is
:meth:`redeploy_broken`, and the report counts it.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from device_sim.chaos.errors import ChaosError
from device_sim.greengrass.component_build import Built
from device_sim.greengrass.errors import NucleusError
from device_sim.greengrass.process import Credentials, NucleusProcess

READER, AGGREGATOR = "io.strandline.SensorReader", "io.strandline.Aggregator"
DETECTOR, FORWARDER = "io.strandline.AnomalyDetector", "io.strandline.Forwarder"
COMPONENTS = (READER, AGGREGATOR, DETECTOR, FORWARDER)
OPTIONS = ("--restart-limit", "8", "--restart-pause", "0.05", "--stop-seconds", "5", "--reconnect-seconds", "2")
ORPHAN_SECONDS = 30.0
DO_NOTHING = "DO_NOTHING"
"""Failure policy without rollback: a component that a fault made BROKEN must not roll back a configuration."""


@dataclass(frozen=True, slots=True)
class Site:
    """Folder, components, configuration and cloud credentials of a gateway."""

    root: Path
    thing: str
    built: Built
    merge: Mapping[str, Mapping[str, Any]]
    region: str
    iot: Credentials | None
    profile: str = "java"


class Gateway:
    """Gateway across restarts of its nucleus; all methods are thread-safe."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.RLock()
        self._nucleus: NucleusProcess | None = None
        self._redeploying: set[str] = set()
        self._expected: dict[tuple[str, str], Any] = {}
        self.redeployed = 0
        self.orphans = 0

    @property
    def profile(self) -> str:
        """Name of the nucleus' profile."""
        return self._site.profile

    def start(self) -> None:
        """Start a nucleus and its components; raises NucleusError when it does not start."""
        site = self._site
        nucleus = NucleusProcess.start(
            site.root,
            thing=site.thing,
            recipes=site.built.recipes,
            artifacts=site.built.artifacts,
            deploy=site.built.versions,
            merge=self._merged(),
            profile=site.profile,
            region=site.region,
            iot=site.iot,
            options=OPTIONS,
        )
        with self._lock:
            self._nucleus = nucleus

    def _merged(self) -> dict[str, dict[str, Any]]:
        """Return the start configuration: that of the site with the updates that must persist."""
        merged = {component: dict(values) for component, values in self._site.merge.items()}
        with self._lock:
            for (component, key), value in self._expected.items():
                merged.setdefault(component, {})[key] = value
        return merged

    def wait_running(self, seconds: float) -> None:
        """Wait until every component is running."""
        nucleus = self._nucleus
        if nucleus is None:
            raise ChaosError("the gateway was not started")
        nucleus.wait_running(seconds)

    def stop(self) -> None:
        """Stop the nucleus and its components."""
        with self._lock:
            nucleus, self._nucleus = self._nucleus, None
        if nucleus is not None:
            nucleus.stop()

    def pid(self, component: str) -> int | None:
        """Return the process id of a running component, or None."""
        with self._lock:
            nucleus = self._nucleus
        if nucleus is None or nucleus.states().get(component) != "RUNNING":
            return None
        pid = nucleus.component_pid(component)
        return pid if pid is not None and _alive(pid) else None

    def signal(self, component: str, number: signal.Signals) -> int | None:
        """Send a signal to a component and return its process id, or None when it is not running."""
        pid = self.pid(component)
        if pid is None:
            return None
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
        return pid

    def restart_nucleus(self, kill: bool) -> int | None:
        """Stop the nucleus (with SIGKILL when ``kill``), start another, and return the process id of the old one.

        Components of the old nucleus that still run after the start of the new one are counted as orphans.
        """
        with self._lock:
            nucleus, self._nucleus = self._nucleus, None
        if nucleus is None:
            return None
        before = {p.pid: p.create_time() for p in _components_of(nucleus)}
        old = nucleus.pid
        if kill:
            os.kill(old, signal.SIGKILL)
        nucleus.stop()  # after SIGKILL this only collects the exit code and output
        self.start()
        deadline = time.monotonic() + ORPHAN_SECONDS
        while (left := [pid for pid, began in before.items() if _alive(pid, began)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.orphans += len(left)
        return old

    def restart_daemon(self, name: str) -> bool:
        """Restart a daemon of nucleus lite; return False when the nucleus is not running."""
        with self._lock:
            nucleus = self._nucleus
        if nucleus is None or not nucleus.alive:
            return False
        nucleus.restart_daemon(name)
        return True

    def expect(self, component: str, key: str, value: Any) -> None:
        """Record the value of a setting that a component must have applied at the end of the run."""
        with self._lock:
            self._expected[component, key] = value

    def settings_not_applied(self) -> list[str]:
        """Return a text for each expected setting that, by its log, the component has not applied."""
        with self._lock:
            expected = dict(self._expected)
        missing = []
        for (component, key), value in expected.items():
            applied = applied_setting(self.log_lines(component), key)
            if applied != value:
                missing.append(f"{component}: {key} is {applied!r}, the last update set {value!r}")
        return missing

    def redeploy_broken(self) -> list[str]:
        """Deploy BROKEN components again, like an operator, and return their names."""
        with self._lock:
            nucleus = self._nucleus
        if nucleus is None or not nucleus.alive:
            return []
        broken = {name for name, state in nucleus.states().items() if state == "BROKEN"}
        fresh = sorted(broken - self._redeploying)
        if fresh:
            self._call(nucleus, lambda client: client.create_local_deployment(failure_handling_policy=DO_NOTHING))
            self.redeployed += len(fresh)
        self._redeploying = broken
        return fresh

    def configure(self, component: str, values: Mapping[str, Any]) -> bool:
        """Merge values into a component's configuration by a local deployment; False when no nucleus is running."""
        with self._lock:
            nucleus = self._nucleus
        if nucleus is None or not nucleus.alive:
            return False
        update = {component: {"MERGE": dict(values)}}
        self._call(
            nucleus,
            lambda client: client.create_local_deployment(
                component_to_configuration=update, failure_handling_policy=DO_NOTHING
            ),
        )
        return True

    def configured(self, component: str, key: str) -> Any:
        """Return a setting as stored by the nucleus; None when it is absent or the nucleus is not running."""
        with self._lock:
            nucleus = self._nucleus
        if nucleus is None or not nucleus.alive:
            return None
        found: list[Any] = []
        self._call(
            nucleus,
            lambda client: found.append(client.get_configuration(component_name=component, key_path=[key]).value),
        )
        return found[0].get(key)

    def log_lines(self, component: str) -> Iterator[str]:
        """Yield the lines of a component's log, oldest first."""
        for suffix in (".log.1", ".log"):
            file = self._site.root / "logs" / f"{component}{suffix}"
            if file.exists():
                yield from file.read_text(errors="replace").splitlines()

    def work(self, component: str) -> Path:
        """Return a component's work folder."""
        return self._site.root / "work" / component

    @property
    def alive(self) -> bool:
        """True while a nucleus runs or is starting."""
        with self._lock:
            return self._nucleus is None or self._nucleus.alive

    @staticmethod
    def _call(nucleus: NucleusProcess, call: Any) -> None:
        try:
            client = nucleus.connect()
            try:
                call(client)
            finally:
                client.close()
        except (NucleusError, OSError, ValueError, RuntimeError) as error:  # the SDK's errors are RuntimeErrors
            raise ChaosError(f"the nucleus' command line: {type(error).__name__}: {error}") from error


def applied_setting(lines: Iterable[str], key: str) -> Any:
    """Return a setting from the last logged configuration (at a start or after an update), or None."""
    value = None
    setting = re.compile(rf"\b{re.escape(key)}=([^,()]+)")  # in the text of a dataclass
    for line in lines:
        with contextlib.suppress(ValueError, AttributeError, SyntaxError):
            found = setting.search(str(json.loads(line).get("config")))
            value = ast.literal_eval(found[1]) if found is not None else value
    return value


def _components_of(nucleus: NucleusProcess) -> list[psutil.Process]:
    try:
        return list(psutil.Process(nucleus.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _alive(pid: int, created: float | None = None) -> bool:
    """Return whether the process that was created at ``created`` (None: any) runs."""
    try:
        process = psutil.Process(pid)
        same = created is None or process.create_time() == created
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
