"""Start and stop of Azurite, Microsoft's emulator of Azure Storage, which npm installs."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from device_sim import process_group
from device_sim.aws.process import free_port
from device_sim.azure.errors import AzuriteMissingError, StartError
from device_sim.interrupts import uninterrupted
from device_sim.paths import SOURCE_TREE

VERSION = "3.37.0"
ACCOUNT = "strandline"
_FOLDERS = (SOURCE_TREE / "build" / "azurite", Path.home() / ".cache" / "strandline" / "azurite")
_START_S, _STOP_S = 30.0, 5.0
_SERVICES = ("blob", "queue", "table")
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH")


def installed() -> Path:
    """Return the program; raises AzuriteMissingError with the command that installs it.

    It is looked for in ``STRANDLINE_AZURITE``, in ``build/azurite``, in the user's cache, and in ``PATH``.
    """
    named = os.environ.get("STRANDLINE_AZURITE")
    folders = [Path(named)] if named else list(_FOLDERS)
    for folder in folders:
        program = folder / "node_modules" / ".bin" / "azurite"
        if program.exists() and shutil.which("node"):
            return program
    found = shutil.which("azurite")
    if found and not named:
        return Path(found)
    raise AzuriteMissingError(
        f"Azurite is not installed: npm install --prefix ~/.cache/strandline/azurite azurite@{VERSION}"
    )


@dataclass(slots=True)
class Azurite:
    """A running Azurite with one account, whose key is made at the start; a context manager that stops it."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int]
    key: str
    log: Path

    def url(self, service: str) -> str:
        """Return the address of the account's blobs, queues or tables."""
        return f"http://127.0.0.1:{self.ports[service]}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """The connection string of the account."""
        endpoints = ";".join(f"{name.capitalize()}Endpoint={self.url(name)}" for name in _SERVICES)
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={self.key};{endpoints};"

    @classmethod
    def start(cls, root: Path) -> Self:
        """Start Azurite with its data below ``root``; raises AzuriteMissingError and StartError."""
        program = installed()
        root.mkdir(parents=True, exist_ok=True)
        for attempt in range(3):
            try:
                return cls._start_once(program, root)
            except StartError:
                # Another process may take a free port before Azurite does; then other ports are tried.
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    @classmethod
    def _start_once(cls, program: Path, root: Path) -> Self:
        azurite = None
        try:
            with uninterrupted():
                azurite = cls._spawn(program, root)
            azurite._wait_until_ready()
        except BaseException:
            if azurite is not None:
                azurite.stop()
            raise
        return azurite

    @classmethod
    def _spawn(cls, program: Path, root: Path) -> Self:
        ports = {name: free_port() for name in _SERVICES}
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["AZURITE_ACCOUNTS"] = f"{ACCOUNT}:{key}"
        log = root / "azurite.log"
        # The data is in memory: a run has a new account, and nothing of it is read again.
        command = [str(program), "--silent", "--inMemoryPersistence", "--disableTelemetry"]
        for name, port in ports.items():
            command += [f"--{name}Host", "127.0.0.1", f"--{name}Port", str(port)]
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - the program that installed() found
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        return cls(process, ports, key, log)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        for port in self.ports.values():
            while not _answers(port):
                if self.process.poll() is not None:
                    raise StartError(f"Azurite ended: {self.log.read_text(errors='replace')[-500:]}")
                if time.monotonic() > deadline:
                    raise StartError(f"Azurite did not start in {_START_S:g} s; see {self.log}")
                time.sleep(0.05)

    def stop(self) -> None:
        """End Azurite; safe to call again."""
        process_group.end(self.process, _STOP_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
