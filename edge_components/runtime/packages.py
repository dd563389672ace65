"""Packages of an environment: installation with an available pip, inspection and import by its own interpreter."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edge_components.common.environment import Environment
from edge_components.common.errors import RuntimeEnvironmentError
from edge_components.common.requirements import Requirement, normalised

_ROOT = Path(__file__).resolve().parents[2]
_SHOWN_LINES = 3
MODULES = {
    "awsiotsdk": "awsiot.greengrasscoreipc.clientv2",
    "numpy": "numpy",
    "paho-mqtt": "paho.mqtt.client",
    "psutil": "psutil",
}
"""Module whose import verifies a package, which may lack a library of the system."""
DEBIAN = {"numpy": "python3-numpy", "paho-mqtt": "python3-paho-mqtt", "psutil": "python3-psutil"}
"""Debian's names of packages, which an environment can use."""


@dataclass(frozen=True, slots=True)
class Installer:
    """Command that runs pip in an environment, and the wheels that replace the package index."""

    pip: tuple[str, ...]
    wheels: Path | None

    @classmethod
    def find(cls, python: str, wheels: Path | None) -> Self:
        """Return the first pip that works: a wheel in the artifact, the distribution's, or that of ensurepip."""
        for wheel in sorted(wheels.glob("pip-*.whl")) if wheels else ():
            return cls((python, str(wheel / "pip")), wheels)
        if _run([python, "-m", "pip", "--version"]).returncode == 0:
            return cls((python, "-m", "pip"), wheels)
        if _run([python, "-m", "ensurepip"]).returncode == 0:
            return cls((python, "-m", "pip"), wheels)
        raise RuntimeEnvironmentError(
            "this system has neither pip nor ensurepip: sudo apt-get install python3-venv, and deploy again"
        )

    def install(self, requirements: Sequence[Requirement]) -> None:
        """Install packages; raises RuntimeEnvironmentError with pip's message and the remedy."""
        # Only wheels: compiling source packages on the gateway takes an hour or more.
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--only-binary", ":all:"]
        if self.wheels is not None:
            options += ["--no-index", "--find-links", str(self.wheels)]
        else:
            options += ["--retries", "1", "--timeout", "15"]
        done = _run([*self.pip, "install", *options, *(one.text for one in requirements)])
        if done.returncode != 0:
            raise RuntimeEnvironmentError(f"{_last_lines(done)}{self._remedy(requirements)}")

    def _remedy(self, requirements: Sequence[Requirement]) -> str:
        source = "the artifact's wheels have" if self.wheels is not None else "the package index has"
        named = [DEBIAN[name] for one in requirements if (name := normalised(one.name)) in DEBIAN]
        hint = f"; those of the distribution count too (sudo apt-get install {' '.join(named)})" if named else ""
        machine, python = platform.machine(), platform.python_version()
        return f" (needed is what {source} for {machine} and Python {python}{hint}; see docs/gateway.md)"


def inspect(python: str, *files: Path) -> Environment:
    """Return the environment of an interpreter with the packages that files name.

    Raises RuntimeEnvironmentError if it does not run.
    """
    done = _run([python, "-m", "edge_components.common.requirements", *map(str, files)])
    try:
        return Environment.from_dict({**json.loads(done.stdout), "python": python})
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeEnvironmentError(f"{python} does not run: {_last_lines(done)}") from error


def check_imports(python: str, requirements: Sequence[Requirement], variables: Mapping[str, str]) -> None:
    """Raise RuntimeEnvironmentError if a package cannot be imported with the variables of a component."""
    names = [MODULES[name] for one in requirements if (name := normalised(one.name)) in MODULES]
    done = _run([python, "-c", "".join(f"import {name}\n" for name in names)], variables)
    if done.returncode != 0:
        raise RuntimeEnvironmentError(f"{python} cannot import its packages: {_last_lines(done)}")


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 # our own arguments, no shell
            command,
            cwd=_ROOT,
            env={**os.environ, **(variables or {})},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise RuntimeEnvironmentError(f"{command[0]}: {error.strerror}") from error


def _last_lines(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    return " ".join(lines[-_SHOWN_LINES:]) or f"exit code {done.returncode}"
