"""Command line of io.strandline.Runtime: install step, and run step, which repairs the environment at boot.

Runs on the system's Python, standard library only. If the environment cannot be created, the exit code is 1 with one
sentence on standard error, and the nucleus repeats the step.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge_components.common.errors import EdgeError
from edge_components.runtime.install import Plan, ensure

_FOLDER = Path(__file__).resolve().parent
EXTRA = "extra-{}.txt"
"""Files of packages that single kinds of sources need, by the name of the group."""

WHEELS = _FOLDER.parents[1] / "wheels"
"""Folder in the artifact that ``strandline build --offline`` fills."""


def main() -> int:
    """Select or create the environment and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="this component's work folder")
    parser.add_argument("--requirements", type=Path, default=_FOLDER / "requirements.txt")
    parser.add_argument("--optional", type=Path, default=_FOLDER / "requirements-optional.txt")
    parser.add_argument(
        "--extras", default="none", help="groups of packages, separated by commas: " + ", ".join(groups())
    )
    parser.add_argument("--wheels", type=Path, default=WHEELS, help="replaces the package index if it exists")
    options = parser.parse_args()
    wheels = options.wheels if options.wheels.is_dir() else None
    try:
        plan = Plan(options.requirements, options.optional, wheels, _extras(options.extras))
        environment = ensure(options.work, plan, log=_log)
    except (EdgeError, OSError) as error:
        print(f"install failed: {error}", file=sys.stderr, flush=True)  # noqa: T201 # the component's log
        return 1
    packages = ", ".join(f"{name} {version}" for name, version in sorted(environment.packages.items()))
    _log(f"{environment.python}: Python {environment.version}, {packages}")
    for text, reason in environment.absent.items():
        _log(f"without {text}: {reason}. Models and sources that need it cannot run and report this")
    return 0


def groups() -> list[str]:
    """Return the names of the groups of packages that exist."""
    before, after = EXTRA.split("{}")
    return sorted(file.name.removeprefix(before).removesuffix(after) for file in _FOLDER.glob(EXTRA.format("*")))


def _extras(text: str) -> tuple[Path, ...]:
    """Return the files of groups; one that does not exist is logged, and the others are used."""
    names = [name.strip() for name in text.split(",") if name.strip() not in ("", "none")]
    known = groups()
    for name in names:
        if name not in known:
            _log(f"extras: {name[:80]!r} is not allowed, expected none or any of {', '.join(known)}")
    return tuple(_FOLDER / EXTRA.format(name) for name in dict.fromkeys(names) if name in known)


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 # the component's log


if __name__ == "__main__":
    sys.exit(main())
