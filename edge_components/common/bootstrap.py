"""The install step of every component: find or make a Python that has the component's requirements.

Run by a recipe with the system's Python, so standard library only. When that Python already meets every requirement
it is used as it is (a laptop's demo); otherwise a virtual environment is made in the work folder (a gateway). Either
way ``<work>/python`` runs it. Exit code 1 and a sentence on standard error when it cannot be done.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

_LINE = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)\s*(?P<spec>[^;]*?)\s*(?:;\s*python_version\s*(?P<op><|>=)\s*\"(?P<v>[\d.]+)\")?$"
)


def applies(operator: str | None, version: str | None, running: tuple[int, ...] = sys.version_info[:2]) -> bool:
    """Return whether a requirement's python_version marker holds."""
    if operator is None or version is None:
        return True
    wanted = tuple(int(part) for part in version.split("."))
    return running < wanted if operator == "<" else running >= wanted


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:4])


def meets(version: str, spec: str) -> bool:
    """Return whether ``version`` meets comma-separated clauses of ==, >=, <=, < and >; raises ValueError for others."""
    for clause in filter(None, (part.strip() for part in spec.split(","))):
        match = re.fullmatch(r"(==|>=|<=|<|>)\s*([\d.]+)", clause)
        if not match:
            raise ValueError(f"requirement clause {clause!r}: only ==, >=, <=, <, > with a plain version")
        have, want = _numbers(version), _numbers(match[2])
        size = max(len(have), len(want))
        have, want = have + (0,) * (size - len(have)), want + (0,) * (size - len(want))
        if not {"==": have == want, ">=": have >= want, "<=": have <= want, "<": have < want, ">": have > want}[
            match[1]
        ]:
            return False
    return True


def missing(requirements: str) -> list[str]:
    """Return the requirement lines that this Python does not meet; raises ValueError for a line it cannot read."""
    lacking = []
    for raw in requirements.splitlines():
        line = raw.split("#")[0].strip()
        if not line:
            continue
        match = _LINE.match(line)
        if not match:
            raise ValueError(f"requirements: cannot read {line!r}")
        if not applies(match["op"], match["v"]):
            continue
        try:
            if not meets(importlib.metadata.version(match["name"]), match["spec"]):
                lacking.append(line)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(line)
    return lacking


def main() -> int:
    """Do the install step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requirements", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    python = Path(sys.executable)
    try:
        lacking = missing(options.requirements.read_text())
        if lacking:
            print(f"{python} lacks {', '.join(lacking)}: making a virtual environment in {options.work}")  # noqa: T201 # the install log
            python = _environment(options.work / "venv", options.requirements)
        launcher = options.work / "python"
        launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n')
        launcher.chmod(0o755)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"install failed: {error}", file=sys.stderr)  # noqa: T201 # the install log
        return 1
    return 0


def _environment(place: Path, requirements: Path) -> Path:
    python = place / "bin" / "python3"
    if not python.exists():
        venv.create(place, with_pip=True, symlinks=os.name == "posix")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    subprocess.run(pip, check=True)  # noqa: S603 # our own arguments, no shell
    return python


if __name__ == "__main__":
    sys.exit(main())
