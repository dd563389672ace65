"""Packages of the Lambda functions: for each the modules that its handler can import, and its requirements.

The modules are at the import paths of the source tree. Beside them are reduced descriptions of the AWS services that
they use (device_sim/aws/service_models.py). A package contains no dependencies: `sam build` adds those of
its requirements.txt; the local functions use the packages of the running Python.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from device_sim.aws.service_models import ServiceModels
from device_sim.errors import BuildError
from device_sim.imports import SourceTree

_PACKAGES = ("wire", "cloud_functions")
_DATA = (".json", ".html")
_MOMENT = (1980, 1, 1, 0, 0, 0)
_RUNTIME = frozenset({"boto3", "botocore"})
"""Packages that the Lambda runtime has."""
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def functions(repo: Path) -> list[str]:
    """Return the names of the functions: the folders that have a handler."""
    return sorted(path.parent.name for path in (repo / "cloud_functions").glob("*/app.py"))


def source_tree(repo: Path) -> SourceTree:
    """Return the modules that functions may consist of; one tree for all functions reads each module once."""
    return SourceTree(repo, _PACKAGES, checked=False)


def function_files(tree: SourceTree, function: str) -> dict[str, Path]:
    """Return the code of a function, name in the package -> file, sorted by name.

    It consists of the modules that the handler can import, and the data files beside them.
    """
    modules = tree.reachable([_handler(function)])
    files = set(modules.values())
    for folder in {file.parent for file in files}:
        files.update(path for path in folder.iterdir() if path.suffix in _DATA)
    return {path.relative_to(tree.root).as_posix(): path for path in sorted(files)}


def requirements(tree: SourceTree, function: str) -> list[str]:
    """Return the lines of a function's requirements.txt: those of the installed packages that it can import.

    Raises BuildError for an import without a requirement.
    """
    repo, lines = tree.root, dict[str, list[str]]()
    for path in (repo / "cloud_functions" / "requirements.txt", repo / "cloud_functions/compaction/requirements.txt"):
        for line in path.read_text().splitlines():
            if line and not line.startswith("#") and (name := _NAME.match(line)):
                lines.setdefault(name[0].replace("-", "_"), []).append(line)
    needed = sorted(tree.installed([_handler(function)]) - _RUNTIME)
    if missing := [name for name in needed if name not in lines]:
        raise BuildError(f"cloud_functions/{function}: no requirement for {', '.join(missing)}")
    return [line for name in needed for line in lines[name]]


def stage_functions(repo: Path, out: Path) -> Mapping[str, Path]:
    """Write each function's package to ``out/<function>``, the folders of the template's CodeUri; return them."""
    shutil.rmtree(out, ignore_errors=True)
    staged, tree, models = {}, source_tree(repo), ServiceModels()
    for function in functions(repo):
        staged[function] = out / function
        files = function_files(tree, function)
        for name, path in files.items():
            target = out / function / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        models.write(files.values(), out / function)
        (out / function / "requirements.txt").write_text("\n".join(requirements(tree, function)) + "\n")
    return staged


def zip_folder(folder: Path, out: Path) -> Path:
    """Zip a folder so that the same files give the same bytes, and return ``out``."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _MOMENT)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return out


def _handler(function: str) -> str:
    return f"cloud_functions.{function}.app"
