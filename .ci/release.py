"""Files of a release in a folder: wheel, components, checksums, a list of dependencies (SBOM), and its changes.

Usage: python .ci/release.py VERSION OUT. The version must be that of the package and have a section in CHANGELOG.md.
All files are reproducible: the same sources and the same installed packages give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
SUMS, SBOM, NOTES = "SHA256SUMS", "sbom.cdx.json", "CHANGES.md"
EPOCH = "315532800"
"""Time of all files in the wheel: the earliest that a zip supports."""
NOT_SHIPPED = frozenset({"dev", "bench", "fuzz"})
"""Extras of this package for its development."""
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class ReleaseError(Exception):
    """A release cannot be made; names the file and what is expected."""


def changes(changelog: str, version: str) -> str:
    """Return the section of a version, without its heading; raises ReleaseError without one."""
    found = re.search(
        rf"^## \[?{re.escape(version)}(?![0-9A-Za-z.])[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    if found is None or not found[1].strip():
        raise ReleaseError(f"CHANGELOG.md: no section '## {version}' with content")
    return found[1].strip() + "\n"


def sbom(name: str, version: str, distributions: Iterable[metadata.Distribution]) -> dict[str, Any]:
    """Return the dependencies of a distribution among the installed ones, extras included, in the form of CycloneDX."""
    installed = {_normal(one.metadata["Name"]): one for one in distributions}
    found: dict[str, metadata.Distribution] = {}
    waiting = _required(installed.get(_normal(name)), NOT_SHIPPED)
    while waiting:
        one = waiting.pop()
        if one in installed and one not in found and one != _normal(name):
            found[one] = installed[one]
            waiting += _required(installed[one], None)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": _component(name, version, "application")},
        "components": [_component(one, found[one].version, "library") for one in sorted(found)],
    }


def checksums(folder: Path) -> str:
    """Return the SHA-256 of each file in a folder, in the form of sha256sum."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    return "\n".join(lines) + "\n"


def set_modes(wheel: Path) -> None:
    """Give all files of a wheel the same mode; setuptools takes those of the checkout, which depend on its umask."""
    with zipfile.ZipFile(wheel) as packed:
        files = [(file, packed.read(file)) for file in packed.infolist()]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as packed:
        for file, content in files:
            file.external_attr = (stat.S_IFREG | 0o644) << 16
            packed.writestr(file, content)


def make(version: str, out: Path) -> None:
    """Write all files of a release; raises ReleaseError."""
    from edge_components.common.version import VERSION
    from strandline.packaging.components import build

    if version != VERSION:
        raise ReleaseError(f"version {version}: that of the package is {VERSION}")
    notes = changes((REPO / "CHANGELOG.md").read_text(), version)
    out.mkdir(parents=True, exist_ok=True)
    for earlier in ("lib", *(path.name for path in (REPO / "build").glob("bdist.*"))):
        shutil.rmtree(REPO / "build" / earlier, ignore_errors=True)  # setuptools keeps files that are deleted since
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(out), str(REPO)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(command, check=False, env=environment)  # noqa: S603 # our own arguments
    if done.returncode:
        raise ReleaseError("the wheel cannot be built: the reason is above")
    for wheel in out.glob("*.whl"):
        set_modes(wheel)
    built = build(REPO, out / "work")
    for component in built.components:
        shutil.copyfile(component.artifact, out / f"{component.name}-{component.version}.zip")
        shutil.copyfile(component.recipe, out / component.recipe.name)
    shutil.rmtree(out / "work")
    (out / NOTES).write_text(notes)
    (out / SBOM).write_text(json.dumps(sbom("strandline", version, metadata.distributions()), indent=1) + "\n")
    (out / SUMS).write_text(checksums(out))


def _required(distribution: metadata.Distribution | None, without: frozenset[str] | None) -> list[str]:
    """Return the names of required distributions, without those of some extras; ``None`` excludes all extras."""
    found = []
    for line in (distribution.requires or []) if distribution is not None else []:
        extra = _EXTRA.search(line)
        if extra is not None and (without is None or extra[1] in without):
            continue
        if match := _NAME.match(line):
            found.append(_normal(match[0]))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(name: str, version: str, kind: str) -> dict[str, str]:
    return {"type": kind, "name": name, "version": version, "purl": f"pkg:pypi/{_normal(name)}@{version}"}


def main(arguments: list[str]) -> int:
    """Make a release and return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        make(arguments[0], Path(arguments[1]))
    except ReleaseError as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(REPO))
    sys.exit(main(sys.argv[1:]))
