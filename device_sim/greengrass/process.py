"""Nucleus in a child process, controlled from Python; for the demo and the tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from device_sim import process_group
from device_sim.greengrass import control
from device_sim.greengrass.errors import NucleusError
from device_sim.interrupts import uninterrupted

ERRORS = "nucleus.stderr"
READY = frozenset({"RUNNING", "FINISHED"})
POLL_SECONDS = 0.1
KILL_SECONDS = 10.0
"""Time for the end of killed components."""


class NucleusProcessError(NucleusError):
    """The nucleus did not reach the expected state; includes the last output of nucleus and components."""


class Credentials(Protocol):
    """MQTT endpoint of IoT Core and the gateway's PEM files."""

    @property
    def host(self) -> str:
        """Host name of the endpoint, as in its certificate."""

    @property
    def port(self) -> int:
        """Port of the endpoint."""

    @property
    def cert(self) -> Path:
        """Certificate of the gateway."""

    @property
    def key(self) -> Path:
        """Private key of the certificate."""

    @property
    def ca(self) -> Path:
        """CA that signed the certificate of the endpoint."""


class NucleusProcess:
    """Child process ``python -m device_sim.greengrass``; a context manager that stops it."""

    def __init__(self, root: Path, deploy: Mapping[str, str], process: subprocess.Popen[str]) -> None:
        self.root, self._deploy, self._process = root, dict(deploy), process
        self._lines: list[Mapping[str, Any]] = []
        self._lines_reported = 0
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="nucleus lines", daemon=True)
        self._reader.start()

    @classmethod
    def start(
        cls,
        root: Path,
        thing: str,
        recipes: Path,
        artifacts: Path,
        deploy: Mapping[str, str],
        *,
        merge: Mapping[str, Mapping[str, Any]] | None = None,
        profile: str = "java",
        region: str = "us-east-1",
        iot: Credentials | None = None,
        options: Sequence[str] = (),
        seconds: float = 30.0,
    ) -> Self:
        """Start a nucleus and wait until it listens; its components start afterwards.

        ``deploy`` maps component names to versions, ``merge`` component names to configuration, ``options`` are
        further command-line options. Raises NucleusProcessError when it does not listen within ``seconds``.
        """
        arguments = ["--root", str(root), "--thing", thing, "--profile", profile, "--region", region]
        arguments += ["--recipes", str(recipes), "--artifacts", str(artifacts), *options]
        for name, version in deploy.items():
            arguments += ["--deploy", f"{name}={version}"]
        if iot is not None:
            arguments += ["--iot-endpoint", f"{iot.host}:{iot.port}", "--cert", str(iot.cert)]
            arguments += ["--key", str(iot.key), "--ca", str(iot.ca)]
        nucleus = None
        try:
            root.mkdir(parents=True, exist_ok=True)
            if merge is not None:
                file = root / "merge-config.json"
                file.write_text(json.dumps(merge))
                arguments += ["--merge-config", str(file)]
            with uninterrupted():
                nucleus = cls(root, deploy, _spawn(root / ERRORS, arguments))
            nucleus.wait_for(lambda one: any(line["type"] == "nucleus" for line in one.lines), seconds, "listening")
        except BaseException as error:
            if nucleus is not None:
                nucleus.stop()
            if isinstance(error, OSError):
                raise NucleusProcessError(f"the nucleus cannot be started: {error}") from error
            raise
        return nucleus

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the nucleus."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while the nucleus runs."""
        return self._process.poll() is None

    @property
    def cli_info(self) -> Path:
        """File with the socket's path and the token of a client that is allowed every local topic."""
        return self.root / control.CLI_INFO

    @property
    def logs(self) -> Path:
        """Folder with ``<component>.log`` and ``greengrass.log`` of the nucleus."""
        return self.root / "logs"

    def log(self, component: str) -> Path:
        """Return the path of a component's log."""
        return self.logs / f"{component}.log"

    @property
    def lines(self) -> tuple[Mapping[str, Any], ...]:
        """All JSON lines so far, oldest first; README.md describes their keys."""
        with self._changed:
            return tuple(self._lines)

    def new_failures(self) -> list[str]:
        """Return the failures since the last call: components, deployments and the connection to IoT Core."""
        with self._changed:
            fresh, self._lines_reported = self._lines[self._lines_reported :], len(self._lines)
        return [sentence for line in fresh if (sentence := _failure_text(line)) is not None]

    def states(self) -> dict[str, str]:
        """Return the current state of every component."""
        return {line["component"]: line["state"] for line in self.lines if line["type"] == "component"}

    def component_pid(self, component: str) -> int | None:
        """Return the id of the process (and group) that a component runs as, or None."""
        mine = [line for line in self.lines if line["type"] == "component" and line["component"] == component]
        return mine[-1]["pid"] if mine else None

    def wait_for(self, condition: Callable[[NucleusProcess], bool], seconds: float, what: str) -> None:
        """Wait until ``condition`` holds; raises NucleusProcessError after ``seconds`` or when the process ends."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            code = self._process.poll()
            if code is not None and not self._reader.is_alive():
                if condition(self):
                    return
                raise NucleusProcessError(f"the nucleus ended with exit code {code}; {self._last_output()}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise NucleusProcessError(
                    f"{what}: not reached within {seconds:g} s, components are {self.states()}; {self._last_output()}"
                )
            with self._changed:
                self._changed.wait(min(left, POLL_SECONDS))

    def wait_running(self, seconds: float = 60.0) -> None:
        """Wait until every deployed component has been RUNNING or FINISHED for a second.

        Raises NucleusProcessError when a component is BROKEN, the deployment fails, the process ends, or after
        ``seconds``.
        """

        def settled(nucleus: NucleusProcess) -> bool:
            states = nucleus.states()
            broken = {line["component"]: line["reason"] for line in nucleus.lines if line.get("state") == "BROKEN"}
            if broken:
                reasons = "; ".join(f"{name} BROKEN: {reason}" for name, reason in broken.items())
                raise NucleusProcessError(f"{reasons}; {self._last_output(tuple(broken))}")
            steady = not self._deploy or any(line.get("detail") == "SUCCESSFUL" for line in nucleus.lines)
            return steady and all(states.get(name) in READY for name in self._deploy)

        self.wait_for(settled, seconds, f"{', '.join(self._deploy)} RUNNING")

    def connect(self) -> Any:
        """Return an ``awsiot`` clientv2 with the token of greengrass-cli; the caller closes it."""
        from awsiot.greengrasscoreipc import connect
        from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

        info = json.loads(self.cli_info.read_text())
        return GreengrassCoreIPCClientV2(client=connect(ipc_socket=info["socket"], authtoken=info["token"]))

    def restart_daemon(self, name: str) -> None:
        """Restart a daemon of nucleus lite and wait until it runs again; raises DaemonError."""
        control.restart(self.root, name)

    def stop(self, seconds: float = 30.0) -> int:
        """Stop the nucleus with SIGTERM and return its exit code.

        A second SIGTERM after ``seconds`` has it kill its components; if it does not end then, both are killed.
        """
        process, code = self._process, None
        for wait_s in (seconds, KILL_SECONDS):
            if code is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(wait_s)
        if code is None:
            self._kill_components()
            process.kill()
            code = process.wait()
        self._reader.join(5.0)
        if process.stdout is not None:
            process.stdout.close()
        return code

    def _kill_components(self) -> None:
        for component in self.states():
            pid = self.component_pid(component)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                process_group.wait_until_ended(pid, KILL_SECONDS)

    def errors(self) -> str:
        """Return the standard error output of the nucleus."""
        return (self.root / ERRORS).read_text()

    def _read(self) -> None:
        for text in self._process.stdout or ():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()

    def _last_output(self, components: Sequence[str] = ()) -> str:
        words = [f"standard error: {self.errors()[-2000:] or 'empty'}"]
        for component in components or self.states():
            with contextlib.suppress(OSError):
                words.append(f"{component}: {self.log(component).read_text(errors='replace')[-1500:]}")
        return "\n".join(words)


def _spawn(error_file: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    with error_file.open("w") as errors:
        return subprocess.Popen(  # noqa: S603 # our own program and arguments, no shell
            [sys.executable, "-m", "device_sim.greengrass", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def _failure_text(line: Mapping[str, Any]) -> str | None:
    if line["type"] == "component" and line["state"] in ("ERRORED", "BROKEN"):
        return f"{line['component']} {line['state']}: {line['reason']}"
    if line["type"] == "deployment" and line["status"] == "FAILED":
        return f"deployment failed: {line['reason']}"
    if line["type"] == "iot_core" and not line["connected"]:
        return f"no connection to IoT Core: {line['reason']}; it is retried"
    return None
