"""Selection or creation of the environment: the system's Python if it has all packages, else a virtual environment.

An environment is built in its own folder, named by a digest of its inputs, and is used when environment.json, which is
replaced atomically at the end, names it. So after an interrupted or failed build the previous environment stays in use,
and the next build removes the remains. The previous environment is kept, because an update of this component does not
restart the components that run in it.
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
"""File that marks a completely built environment."""
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Files of required and optional packages, and the folder of wheels that replaces the package index.

    ``extras`` are files of packages for single kinds of sources. They are optional too, and are added to an environment
    that exists, so that a component that runs in it finds them.
    """

    requirements: Path
    optional: Path
    wheels: Path | None
    extras: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of packages."""
        return (self.requirements, self.optional, *self.extras)

    def required(self) -> list[Requirement]:
        """Return the required packages; raises RequirementError."""
        return parse(self.requirements.read_text())

    def desired(self) -> list[Requirement]:
        """Return the optional packages; raises RequirementError."""
        found = [one for file in (self.optional, *self.extras) for one in parse(file.read_text())]
        return list({one.text: one for one in found}.values())

    def digest(self) -> str:
        """Return a digest that identifies the environment made from these inputs on this machine."""
        parts = [self.requirements.read_text(), self.optional.read_text(), sys.version, sys.base_prefix]
        parts += sorted(path.name for path in self.wheels.iterdir()) if self.wheels else []
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def ensure(work: Path, plan: Plan, log: Log) -> Environment:
    """Return a usable environment, built if necessary; raises RuntimeEnvironmentError, RequirementError or OSError."""
    required, desired = plan.required(), plan.desired()
    if not lacking([*required, *desired], installed):
        environment = _system(required, desired)
    else:
        folder = work / f"{PREFIX}{plan.digest()}"
        environment = _usable(folder, plan, required) or _build(folder, plan, required, log)
        environment = _with_optional(environment, plan, required, desired, log)
    _publish(work, environment)
    return environment


def _system(required: list[Requirement], desired: list[Requirement]) -> Environment:
    versions = {normalised(one.name): installed(one.name) or "" for one in (*required, *desired)}
    return Environment(sys.executable, platform.python_version(), platform.machine(), versions)


def _usable(folder: Path, plan: Plan, required: list[Requirement]) -> Environment | None:
    """Return the environment built earlier from the same inputs (also before a rollback), if it still works."""
    python = str(_python(folder))
    if not (folder / COMPLETE).exists():
        return None
    try:
        found = packages.inspect(python, *plan.files)
        packages.check_imports(python, required, found.variables(folder.parent))
    except RuntimeEnvironmentError:
        return None
    return None if lacking(required, found.package) else found


def _build(folder: Path, plan: Plan, required: list[Requirement], log: Log) -> Environment:
    shutil.rmtree(folder, ignore_errors=True)
    missing = lacking(required, installed)
    log(f"{sys.executable} lacks {_names(missing) if missing else 'optional packages'}: building {folder}")
    try:
        # Packages of the distribution are used if they meet the requirements: some boards have no other source.
        venv.create(folder, system_site_packages=True, with_pip=False, symlinks=True)
        python = str(_python(folder))
        packages.Installer.find(python, plan.wheels).install(required)
        environment = packages.inspect(python, *plan.files)
        missing = lacking(required, environment.package)
        if missing:
            raise RuntimeEnvironmentError(f"{python} still lacks {_names(missing)} after the installation")
        packages.check_imports(python, required, environment.variables(folder.parent))
        (folder / COMPLETE).touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return environment


def _with_optional(
    environment: Environment, plan: Plan, required: list[Requirement], desired: list[Requirement], log: Log
) -> Environment:
    """Install the missing optional packages that are available."""
    absent = {}
    for one in lacking(desired, environment.package):
        try:
            # The installed required packages are repeated to limit the versions that pip may choose.
            packages.Installer.find(environment.python, plan.wheels).install([one, *required])
        except RuntimeEnvironmentError as error:
            log(f"{one.text} is not installed: {error}")
            absent[one.text] = str(error)
    return replace(packages.inspect(environment.python, *plan.files), absent=absent)


def _publish(work: Path, environment: Environment) -> None:
    """Write environment.json and a launcher for manual use, and remove unused environments."""
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
    """Remove compiled modules without source, such as those of components before an update."""
    for folder, _folders, files in os.walk(bytecode):
        source = Path("/") / Path(folder).relative_to(bytecode)
        if files and not source.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python3"


def _names(requirements: list[Requirement]) -> str:
    return ", ".join(one.text for one in requirements)
