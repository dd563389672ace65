"""Start of a component in the shared Python environment, when that meets the component's requirements.

A nucleus starts components in any order and counts a process that exits as a failure, so the launcher waits for
io.strandline.Runtime. Then it becomes the component by exec and keeps its process id.

``python3 -m edge_components.common.launch --runtime FOLDER MODULE`` runs on the system's Python, standard library only.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from edge_components.common.environment import Environment
from edge_components.common.errors import RequirementError, RuntimeEnvironmentError
from edge_components.common.requirements import Requirement, lacking, parse

POLL_SECONDS = 1.0
LOG_SECONDS = 60.0
EXIT_CONFIG = 78
_ROOT = Path(__file__).resolve().parents[2]


def usable_environment(runtime: Path, requirements: list[Requirement]) -> Environment:
    """Return the environment; raises RuntimeEnvironmentError if a component cannot run in it."""
    environment = Environment.read(runtime)
    made, now = environment.version, platform.python_version()
    if made.split(".")[:2] != now.split(".")[:2]:
        raise RuntimeEnvironmentError(f"{environment.python} was created for Python {made}, python3 is now {now}")
    missing = lacking(requirements, environment.package)
    if missing:
        raise RuntimeEnvironmentError(f"{environment.python} lacks {', '.join(one.text for one in missing)}")
    return environment


def wait(
    find: Callable[[], Environment],
    log: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Environment:
    """Wait for the environment and return it; log the reason of waiting when it changes, and once a minute."""
    logged, reason = -LOG_SECONDS, ""
    while True:
        try:
            return find()
        except RuntimeEnvironmentError as error:
            if str(error) != reason or monotonic() - logged >= LOG_SECONDS:
                reason, logged = str(error), monotonic()
                log(f"waiting for io.strandline.Runtime: {reason}")
            sleep(POLL_SECONDS)


def main() -> NoReturn:
    """Wait for the environment and become the component; exit with EXIT_CONFIG for invalid arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True, help="the work folder of io.strandline.Runtime")
    parser.add_argument("module", help="the component's main module")
    options = parser.parse_args()
    file = _ROOT.joinpath(*options.module.split(".")[:-1], "requirements.txt")
    try:
        requirements = parse(file.read_text())
    except (OSError, RequirementError) as error:
        print(f"{file}: {error}", file=sys.stderr)  # noqa: T201 # the component's log
        sys.exit(EXIT_CONFIG)
    environment = wait(lambda: usable_environment(options.runtime, requirements), _log)
    variables = {**os.environ, **environment.variables(options.runtime)}
    os.execve(environment.python, [environment.python, "-m", options.module], variables)  # noqa: S606 # no shell


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 # the component's log


if __name__ == "__main__":
    main()
