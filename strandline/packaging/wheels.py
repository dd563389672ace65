"""Download of the wheels that a gateway needs, for other processors and Python versions than this machine's.

pip chooses each file (``pip download --no-deps``); the dependencies are followed here, because pip evaluates markers
such as ``python_version < "3.12"`` for the Python that it runs in and not for the one it downloads for.
"""

from __future__ import annotations

import email
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from device_sim.errors import BuildError
from edge_components.common.requirements import parse
from strandline.progress import Progress, no_progress

ARCHITECTURES = ("aarch64", "x86_64", "armv7l")
GLIBC = {"3.11": 36, "3.12": 39, "3.13": 41}
"""The minor version of glibc on the distribution with that Python: Debian 12, Ubuntu 24.04, Debian 13."""
_OLDEST_GLIBC = 17
_OLD_TAGS = ("manylinux2014",)
PIP = "pip"
"""Always included: a system without python3-venv has no pip."""


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of gateway."""

    python: str
    machine: str

    @property
    def platforms(self) -> list[str]:
        """Return the platform tags of the wheels that run there, best first."""
        newest = GLIBC[self.python]
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(newest, _OLDEST_GLIBC - 1, -1)]
        return [*tags, *(f"{tag}_{self.machine}" for tag in _OLD_TAGS), f"linux_{self.machine}"]

    @property
    def markers(self) -> dict[str, str]:
        """Return the values of environment markers there."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }

    def __str__(self) -> str:
        return f"Python {self.python} on {self.machine}"


Fetch = Callable[[str, Target], Path | None]
"""Return the wheel of a requirement for a target, None if no wheel satisfies it."""


@dataclass(slots=True)
class Collected:
    """The wheels for one target, and the requirements that no wheel satisfies."""

    target: Target
    wheels: dict[str, Path] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    missing_optional: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return the bytes of all wheels."""
        return sum(path.stat().st_size for path in self.wheels.values())


def collect_all(
    targets: Sequence[Target], required: str, optional: str, fetch: Fetch, progress: Progress = no_progress
) -> list[Collected]:
    """Return the wheels for each target; ``progress`` counts the requirements in the files, once for each target."""

    def part(number: int) -> Progress:
        return lambda done, total: progress(number * total + done, len(targets) * total)

    return [collect(target, required, optional, fetch, part(number)) for number, target in enumerate(targets)]


def collect(target: Target, required: str, optional: str, fetch: Fetch, progress: Progress = no_progress) -> Collected:
    """Return the wheels of two requirements files and of their dependencies."""
    found = Collected(target)
    python = tuple(int(part) for part in target.python.split("."))
    roots = [Requirement(one.text) for one in parse(required, python)]
    more = [Requirement(one.text) for one in parse(optional, python)]
    count = 1 + len(roots)
    total = count + len(more)

    def report(done: int) -> None:
        progress(min(done, count), total)

    wheels, found.missing = _closure([Requirement(PIP), *roots], target, fetch, report)
    for done, one in enumerate(more, count):
        progress(done, total)
        # Resolved together with the others: they must agree on the versions of common dependencies.
        together, missing = _closure([Requirement(PIP), *roots, one], target, fetch)
        if set(missing) <= set(found.missing):
            wheels = together
            roots.append(one)
        else:
            found.missing_optional.append(str(one))
    progress(total, total)
    found.wheels = {path.name: path for path in wheels}
    return found


def _closure(
    roots: Sequence[Requirement], target: Target, fetch: Fetch, report: Callable[[int], None] = lambda _done: None
) -> tuple[list[Path], list[str]]:
    """Return the wheels of requirements and their dependencies, and the requirements without a wheel.

    ``report`` is called before each requirement with the number of earlier ones; the roots are the first.
    """
    wanted: dict[str, Requirement] = {}
    chosen: dict[str, Path] = {}
    missing: dict[str, str] = {}
    waiting, done = list(roots), 0
    while waiting:
        report(done)
        done += 1
        one = waiting.pop(0)
        name = canonicalize_name(one.name)
        both = Requirement(str(wanted.get(name, one).name))
        both.specifier = wanted[name].specifier & one.specifier if name in wanted else one.specifier
        known = chosen.get(name)
        if name in wanted and (name in missing or (known and both.specifier.contains(_version(known)))):
            wanted[name] = both
            continue
        wanted[name] = both
        wheel = fetch(str(both), target)
        if wheel is None:
            chosen.pop(name, None)
            missing[name] = str(both)
            continue
        chosen[name] = wheel
        waiting += _dependencies(wheel, target)
    return list(chosen.values()), list(missing.values())


def _version(wheel: Path) -> str:
    return str(parse_wheel_filename(wheel.name)[1])


def _dependencies(wheel: Path, target: Target) -> Iterable[Requirement]:
    try:
        with zipfile.ZipFile(wheel) as packed:
            file = next(name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
            lines = email.message_from_bytes(packed.read(file)).get_all("Requires-Dist", [])
    except (zipfile.BadZipFile, StopIteration, OSError) as error:
        raise BuildError(f"{wheel}: not a wheel: {error}") from error
    for one in map(Requirement, lines):
        if one.marker is None or one.marker.evaluate(target.markers):
            yield one


class PipDownload:
    """Download wheels with pip into a folder, each requirement and target once; see :data:`Fetch`."""

    def __init__(self, folder: Path, more: Path | None, log: Callable[[str], None]) -> None:
        """``more`` is a folder with additional wheels."""
        if more is not None and not more.is_dir():
            raise BuildError(f"--wheels {more}: not a folder")
        self._folder, self._more, self._log = folder, more, log
        self._fetched: dict[tuple[str, Target], Path | None] = {}

    def __call__(self, requirement: str, target: Target) -> Path | None:
        """Return the wheel, or None; raises BuildError if pip fails."""
        if (requirement, target) not in self._fetched:
            self._fetched[requirement, target] = self._fetch(requirement, target)
        return self._fetched[requirement, target]

    def _fetch(self, requirement: str, target: Target) -> Path | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", target.python]
            command += [option for tag in target.platforms for option in ("--platform", tag)]
            command += ["--find-links", str(self._more.resolve())] if self._more else []
            try:
                done = subprocess.run(  # noqa: S603 # our own arguments, no shell
                    [*command, "--dest", scratch, requirement], capture_output=True, text=True, check=False
                )
            except OSError as error:
                raise BuildError(f"pip: {error.strerror}") from error
            wheels = list(Path(scratch).glob("*.whl"))
            if not wheels:
                if "No matching distribution" not in done.stderr:
                    raise BuildError(f"pip download {requirement}: {done.stderr.strip() or done.stdout.strip()}")
                self._log(f"{target}: no wheel for {requirement}")
                return None
            return wheels[0].replace(self._folder / wheels[0].name)


def merged(collected: Iterable[Collected]) -> Mapping[str, Path]:
    """Return the wheels of all targets without duplicates: name -> file."""
    return {name: path for one in collected for name, path in sorted(one.wheels.items())}
