"""Lambda package: ``wire`` and ``cloud_functions`` at the import paths of the source tree.

It contains no dependencies: `sam build` adds those of requirements.txt; the local functions use the packages of the
running Python.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

_PACKAGES = ("wire", "cloud_functions")
_SUFFIXES = (".py", ".json", ".html")
_MOMENT = (1980, 1, 1, 0, 0, 0)


def lambda_files(repo: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name in the package, file) of the functions' code, sorted by name."""
    found = {"requirements.txt": repo / "cloud_functions" / "requirements.txt"}
    for package in _PACKAGES:
        for path in (repo / package).rglob("*"):
            if path.is_file() and path.suffix in _SUFFIXES and "__pycache__" not in path.parts:
                found[path.relative_to(repo).as_posix()] = path
    yield from sorted(found.items())


def stage_lambda(repo: Path, out: Path) -> Path:
    """Write the package to ``out``, the folder in the template's CodeUri, and return it."""
    shutil.rmtree(out, ignore_errors=True)
    for name, path in lambda_files(repo):
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return out


def stage_compaction(repo: Path, out: Path) -> Path:
    """Make ``out`` the package of the compaction function: the same files, with its further requirements."""
    stage_lambda(repo, out)
    more = repo / "cloud_functions" / "compaction" / "requirements.txt"
    with (out / "requirements.txt").open("a") as requirements:
        requirements.write(more.read_text())
    return out


def zip_folder(folder: Path, out: Path) -> Path:
    """Zip a folder so that the same files give the same bytes, and return ``out``."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _MOMENT)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return out
