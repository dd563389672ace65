"""A nucleus in a process of its own, started and watched from Python: what the demo and the tests use."""

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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from device_sim.nucleus.errors import NucleusError

CLI_INFO = "cli_ipc_info.json"
READY = frozenset({"RUNNING", "FINISHED"})
POLL_SECONDS = 0.1


class NucleusProcessError(NucleusError):
    """The nucleus did not come to where it was waited for; says what it and its components wrote last."""


@dataclass(frozen=True, slots=True)
class MutualTls:
    """IoT Core's endpoint and the gateway's credentials for it."""

    host: str
    port: int
    cert: Path
    key: Path
    ca: Path


class NucleusProcess:
    """``python -m device_sim.nucleus`` as a child; a context manager that stops it."""

    def __init__(
        self,
        root: Path,
        thing: str,
        recipes: Path,
        artifacts: Path,
        deploy: Mapping[str, str],
        *,
        merge: Mapping[str, Mapping[str, Any]] | None = None,
        profile: str = "java",
        region: str = "us-east-1",
        iot: MutualTls | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """``deploy`` maps component names to versions, ``merge`` component names to configuration."""
        self.root, self._deploy = root, dict(deploy)
        self._arguments = ["--root", str(root), "--thing", thing, "--profile", profile, "--region", region]
        self._arguments += ["--recipes", str(recipes), "--artifacts", str(artifacts)]
        for name, version in deploy.items():
            self._arguments += ["--deploy", f"{name}={version}"]
        if iot is not None:
            self._arguments += ["--iot-endpoint", f"{iot.host}:{iot.port}", "--cert", str(iot.cert)]
            self._arguments += ["--key", str(iot.key), "--ca", str(iot.ca)]
        self._arguments += options
        self._merge = merge
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: list[Mapping[str, Any]] = []
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the process; what it writes is read from now on."""
        self.root.mkdir(parents=True, exist_ok=True)
        arguments = list(self._arguments)
        if self._merge is not None:
            file = self.root / "merge-config.json"
            file.write_text(json.dumps(self._merge))
            arguments += ["--merge-config", str(file)]
        with self._errors_file.open("w") as errors:
            self._process = subprocess.Popen(  # noqa: S603 # our own program and arguments, no shell
                [sys.executable, "-m", "device_sim.nucleus", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        if self._process.stdout is not None:
            self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
            self._reader.start()
        return self

    @property
    def pid(self) -> int:
        """The process id; raises NucleusProcessError before the start."""
        return self._started().pid

    @property
    def logs(self) -> Path:
        """The folder with ``<component>.log`` and the nucleus' own ``greengrass.log``."""
        return self.root / "logs"

    def log(self, component: str) -> Path:
        """The path of a component's log."""
        return self.logs / f"{component}.log"

    @property
    def lines(self) -> tuple[Mapping[str, Any], ...]:
        """Every JSON line so far, oldest first; see README.md for their keys."""
        with self._news:
            return tuple(self._lines)

    def states(self) -> dict[str, str]:
        """Return the present state of every component."""
        return {line["component"]: line["state"] for line in self.lines if line["type"] == "component"}

    def component_pid(self, component: str) -> int | None:
        """Return the id of the process (and group) that a component runs as, or None."""
        mine = [line for line in self.lines if line["type"] == "component" and line["component"] == component]
        return mine[-1]["pid"] if mine else None

    def wait_for(self, condition: Callable[[NucleusProcess], bool], seconds: float, what: str) -> None:
        """Wait until ``condition`` holds; raises NucleusProcessError after ``seconds`` or when the process ends."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            code = self._started().poll()
            if code is not None and not (self._reader and self._reader.is_alive()):
                if condition(self):
                    return
                raise NucleusProcessError(f"the nucleus ended with exit code {code}; {self._last_words()}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise NucleusProcessError(
                    f"{what}: not so after {seconds:g} s, components are {self.states()}; {self._last_words()}"
                )
            with self._news:
                self._news.wait(min(left, POLL_SECONDS))

    def wait_running(self, seconds: float = 60.0) -> None:
        """Wait until every component that was to be deployed is RUNNING (or FINISHED).

        Raises NucleusProcessError as soon as one is BROKEN, the deployment failed, the process ended, or the time is
        over.
        """

        def settled(nucleus: NucleusProcess) -> bool:
            states = nucleus.states()
            broken = [name for name, state in states.items() if state == "BROKEN"]
            if broken:
                raise NucleusProcessError(f"{', '.join(broken)} BROKEN; {self._last_words(broken)}")
            return all(states.get(name) in READY for name in self._deploy)

        self.wait_for(settled, seconds, f"{', '.join(self._deploy)} RUNNING")

    def wait_ready(self, seconds: float = 15.0) -> None:
        """Wait until the nucleus listens."""
        self.wait_for(lambda nucleus: any(line["type"] == "nucleus" for line in nucleus.lines), seconds, "listening")

    def connect(self) -> Any:
        """Return an ``awsiot`` clientv2 with the command line's token; close it when it is done with."""
        from awsiot.greengrasscoreipc import connect
        from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

        self.wait_ready()
        info = json.loads((self.root / CLI_INFO).read_text())
        return GreengrassCoreIPCClientV2(client=connect(ipc_socket=info["socket"], authtoken=info["token"]))

    def stop(self, seconds: float = 30.0) -> int:
        """End the nucleus with SIGTERM (SIGKILL to it after ``seconds``) and return its exit code."""
        process = self._started()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._kill_components()
            process.kill()
            code = process.wait()
        if self._reader is not None:
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

    @property
    def _errors_file(self) -> Path:
        return self.root / "nucleus.stderr"

    def errors(self) -> str:
        """Return what the nucleus wrote to standard error."""
        return self._errors_file.read_text()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise NucleusProcessError("the nucleus is not started")
        return self._process

    def _read(self, out: IO[str]) -> None:
        for text in out:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            with self._news:
                self._lines.append(line)
                self._news.notify_all()

    def _last_words(self, components: Sequence[str] = ()) -> str:
        words = [f"standard error: {self.errors()[-2000:] or 'empty'}"]
        for component in components or self.states():
            with contextlib.suppress(OSError):
                words.append(f"{component}: {self.log(component).read_text(errors='replace')[-1500:]}")
        return "\n".join(words)
