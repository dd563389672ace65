"""Command line of io.strandline.Runtime: its install step, and its run step, which repairs the environment at boot.

Runs on the system's Python, standard library only. Exit code 1 and one sentence on standard error when the environment
cannot be made; the nucleus then repeats the step.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge_components.common.errors import EdgeError
from edge_components.runtime.install import Plan, ensure

_FOLDER = Path(__file__).resolve().parent
WHEELS = _FOLDER.parents[1] / "wheels"
"""What ``strandline build --offline`` puts into the artifact."""


def main() -> int:
    """Make the environment usable."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="this component's work folder")
    parser.add_argument("--requirements", type=Path, default=_FOLDER / "requirements.txt")
    parser.add_argument("--optional", type=Path, default=_FOLDER / "requirements-optional.txt")
    parser.add_argument("--wheels", type=Path, default=WHEELS, help="used in place of a package index where it exists")
    options = parser.parse_args()
    wheels = options.wheels if options.wheels.is_dir() else None
    try:
        environment = ensure(options.work, Plan(options.requirements, options.optional, wheels), log=_log)
    except (EdgeError, OSError) as error:
        print(f"install failed: {error}", file=sys.stderr, flush=True)  # noqa: T201 # the component's log
        return 1
    packages = ", ".join(f"{name} {version}" for name, version in sorted(environment.packages.items()))
    _log(f"{environment.python}: Python {environment.version}, {packages}")
    for text, reason in environment.absent.items():
        _log(f"without {text}: {reason}. Statistics work; models that need it report that they cannot run")
    return 0


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 # the component's log


if __name__ == "__main__":
    sys.exit(main())
