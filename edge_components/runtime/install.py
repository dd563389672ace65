"""Finds or makes the environment: the system's Python where it has all packages, a virtual environment otherwise.

An environment is built in a folder of its own, named by a digest of what it is made from, and counts only when
environment.json names it, which is replaced at the end as a whole. So an interrupted or failed build leaves the
environment before it in use, and what it left behind is removed by the next one. The environment before is kept until
then: components that run in it are not restarted by an update of this one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edge_components.common.environment import Environment
from edge_components.common.errors import RuntimeEnvironmentError
from edge_components.common.requirements import Requirement, installed, lacking, normalised, parse
from edge_components.runtime import packages

PREFIX = "env-"
LAUNCHER = "python"
COMPLETE = ".complete"
"""Marks an environment whose build came to its end."""
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Files that say what the environment must and may have, and the folder of wheels that replaces the index."""

    requirements: Path
    optional: Path
    wheels: Path | None

    def required(self) -> list[Requirement]:
        """Return what it must have; raises RequirementError."""
        return parse(self.requirements.read_text())

    def desired(self) -> list[Requirement]:
        """Return what it may have; raises RequirementError."""
        return parse(self.optional.read_text())

    def digest(self) -> str:
        """Return a name for the environment that this makes on this machine."""
        parts = [self.requirements.read_text(), self.optional.read_text(), sys.version, sys.base_prefix]
        parts += sorted(path.name for path in self.wheels.iterdir()) if self.wheels else []
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def ensure(work: Path, plan: Plan, log: Log) -> Environment:
    """Return a usable environment, made if need be; raises RuntimeEnvironmentError, RequirementError or OSError."""
    required, desired = plan.required(), plan.desired()
    if not lacking([*required, *desired], installed):
        environment = _system(required, desired)
    else:
        folder = work / f"{PREFIX}{plan.digest()}"
        environment = _usable(folder, plan, required) or _make(folder, plan, required, log)
        environment = _with_desired(environment, plan, required, desired, log)
    _publish(work, environment)
    return environment


def _system(required: list[Requirement], desired: list[Requirement]) -> Environment:
    versions = {normalised(one.name): installed(one.name) or "" for one in (*required, *desired)}
    return Environment(sys.executable, platform.python_version(), platform.machine(), versions)


def _usable(folder: Path, plan: Plan, required: list[Requirement]) -> Environment | None:
    """Return the environment that an earlier step made of the same parts, if it still works; also after a rollback."""
    python = str(_python(folder))
    if not (folder / COMPLETE).exists():
        return None
    try:
        found = packages.inspect(python, plan.requirements, plan.optional)
        packages.check_imports(python, required, found.variables(folder.parent))
    except RuntimeEnvironmentError:
        return None
    return None if lacking(required, found.package) else found


def _make(folder: Path, plan: Plan, required: list[Requirement], log: Log) -> Environment:
    shutil.rmtree(folder, ignore_errors=True)
    missing = lacking(required, installed)
    log(f"{sys.executable} lacks {_names(missing) if missing else 'optional packages'}: building {folder}")
    try:
        # Packages of the distribution count where they meet the requirements: some boards have no other source.
        venv.create(folder, system_site_packages=True, with_pip=False, symlinks=True)
        python = str(_python(folder))
        packages.Installer.find(python, plan.wheels).install(required)
        environment = packages.inspect(python, plan.requirements, plan.optional)
        missing = lacking(required, environment.package)
        if missing:
            raise RuntimeEnvironmentError(f"{python} still lacks {_names(missing)} after the installation")
        packages.check_imports(python, required, environment.variables(folder.parent))
        (folder / COMPLETE).touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return environment


def _with_desired(
    environment: Environment, plan: Plan, required: list[Requirement], desired: list[Requirement], log: Log
) -> Environment:
    """Install the optional packages that are absent, as far as they can be had."""
    absent = {}
    for one in lacking(desired, environment.package):
        try:
            # The required ones are there already; named again, they bound the versions that pip may choose.
            packages.Installer.find(environment.python, plan.wheels).install([one, *required])
        except RuntimeEnvironmentError as error:
            log(f"{one.text} is left out: {error}")
            absent[one.text] = str(error)
    return replace(packages.inspect(environment.python, plan.requirements, plan.optional), absent=absent)


def _publish(work: Path, environment: Environment) -> None:
    """Name the environment, write the launcher for people, and remove environments that nothing uses any more."""
    environment.write(work)
    launcher = work / f"{LAUNCHER}.part"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(environment.python)} "$@"\n')
    launcher.chmod(0o755)
    launcher.replace(work / LAUNCHER)
    made = sorted(work.glob(f"{PREFIX}*/{COMPLETE}"), key=lambda mark: mark.stat().st_mtime, reverse=True)
    others = [mark.parent for mark in made if _python(mark.parent) != Path(environment.python)]
    used = {Path(environment.python).parents[1], *others[:1]}
    for folder in work.glob(f"{PREFIX}*"):
        if folder not in used:
            shutil.rmtree(folder, ignore_errors=True)
    _remove_stale(Path(environment.variables(work)["PYTHONPYCACHEPREFIX"]))


def _remove_stale(bytecode: Path) -> None:
    """Remove compiled modules whose source has gone, such as those of components before an update."""
    for folder, _folders, files in os.walk(bytecode):
        source = Path("/") / Path(folder).relative_to(bytecode)
        if files and not source.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python3"


def _names(requirements: list[Requirement]) -> str:
    return ", ".join(one.text for one in requirements)
