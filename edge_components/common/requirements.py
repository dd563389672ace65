"""Comparison of a component's requirements with the packages of a Python environment.

The files are in pip's format. A line has a name, clauses of ==, >=, <=, < and >, and at most one
``python_version`` marker. Standard library only: this runs before the environment exists.

``python -m edge_components.common.requirements FILE...`` prints the running Python's packages as JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import operator
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_components.common.errors import RequirementError

Versions = Callable[[str], str | None]
"""Returns the installed version of a package, None if it is absent."""

_LINE = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)\s*(?P<spec>[^;]*?)\s*(?:;\s*python_version\s*(?P<op><|>=)\s*\"(?P<v>[\d.]+)\")?$"
)
_COMPARISONS = {
    "==": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    ">": operator.gt,
}
_CLAUSE = re.compile(r"(==|>=|<=|<|>)\s*([\d.]+)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """Line of a requirements file; ``text`` is the requirement without its marker."""

    name: str
    spec: str
    text: str

    def met_by(self, version: str | None) -> bool:
        """Return whether an installed version meets the requirement."""
        return version is not None and meets(version, self.spec)


def parse(text: str, python: tuple[int, ...] = sys.version_info[:2]) -> list[Requirement]:
    """Return the requirements that apply to a version of Python; raises RequirementError for an invalid line."""
    return list(_parse(text, python))


def _parse(text: str, python: tuple[int, ...]) -> Iterator[Requirement]:
    for raw in text.splitlines():
        line = raw.split("#")[0].strip()
        if not line:
            continue
        match = _LINE.match(line)
        if not match:
            raise RequirementError(f"requirements: cannot read {line!r}")
        name, spec = match["name"], match["spec"].strip()
        meets("0", spec)  # an invalid clause is an error whether the package is installed or not
        if applies(match["op"], match["v"], python):
            yield Requirement(name, spec, f"{name}{spec}")


def applies(comparison: str | None, version: str | None, running: tuple[int, ...]) -> bool:
    """Return whether a requirement's python_version marker holds."""
    if comparison is None or version is None:
        return True
    wanted = _numbers(version)
    return running < wanted if comparison == "<" else running >= wanted


def meets(version: str, spec: str) -> bool:
    """Return whether ``version`` meets comma-separated clauses of ==, >=, <=, < and >; raises RequirementError."""
    for clause in filter(None, (part.strip() for part in spec.split(","))):
        match = _CLAUSE.fullmatch(clause)
        if not match:
            raise RequirementError(f"requirement clause {clause!r}: only ==, >=, <=, <, > with a plain version")
        present, required = _numbers(version), _numbers(match[2])
        size = max(len(present), len(required))
        present, required = present + (0,) * (size - len(present)), required + (0,) * (size - len(required))
        if not _COMPARISONS[match[1]](present, required):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:4])


def lacking(requirements: list[Requirement], versions: Versions) -> list[Requirement]:
    """Return the requirements that an environment does not meet."""
    return [requirement for requirement in requirements if not requirement.met_by(versions(requirement.name))]


def installed(name: str) -> str | None:
    """Return the version of a package in the running Python, None if it is absent."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def normalised(name: str) -> str:
    """Return a package's name normalised for comparison."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(files: list[str]) -> int:
    """Print version, machine and those packages of the running Python that the files name."""
    wanted = [requirement for file in files for requirement in parse(Path(file).read_text())]
    packages = {normalised(one.name): version for one in wanted if (version := installed(one.name)) is not None}
    found = {"version": platform.python_version(), "machine": platform.machine(), "packages": packages}
    print(json.dumps(found))  # noqa: T201 # the command's output
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
