"""Packs the components as greengrass-cli wants them, the same bytes from the same sources on every machine.

::

    <out>/greengrass-build/recipes/<NAME>-<VERSION>.yaml
    <out>/greengrass-build/artifacts/<NAME>/<VERSION>/<folder>.zip

A zip holds ``wire``, ``edge_components/common`` and the component's own folder at the import paths they have here.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from device_sim.errors import BuildError

_PACKED = frozenset({".py", ".txt", ".json", ".yaml", ".tflite", ".fbs"})
_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say


@dataclass(frozen=True, slots=True)
class BuiltComponent:
    """One packed component; ``zip`` is its artifact, ``sha256`` that file's digest."""

    name: str
    version: str
    recipe: Path
    zip: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Built:
    """Where everything went: the two folders that greengrass-cli and the local nucleus are given, and what is there."""

    recipes: Path
    artifacts: Path
    components: tuple[BuiltComponent, ...]


def build(repo: Path, out: Path) -> Built:
    """Pack every recipe of ``repo/recipes`` into ``out/greengrass-build``.

    Raises BuildError for a recipe or folder that is not as it must be, and where nothing can be written.
    """
    recipes = sorted((repo / "recipes").glob("*.yaml"))
    if not recipes:
        raise BuildError(f"{repo / 'recipes'}: no recipes (*.yaml) there")
    place = out / "greengrass-build"
    try:
        components = tuple(_build_component(repo, recipe, place) for recipe in recipes)
    except OSError as error:
        raise BuildError(f"{error.filename or place}: {error.strerror}") from error
    return Built(place / "recipes", place / "artifacts", components)


def _build_component(repo: Path, recipe: Path, place: Path) -> BuiltComponent:
    name, version, folder = _read_recipe(recipe)
    target = place / "recipes" / f"{name}-{version}.yaml"
    archive = place / "artifacts" / name / version / f"{folder}.zip"
    for path in (target, archive):
        path.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(recipe.read_bytes())
    write_zip(archive, _component_files(repo, folder))
    return BuiltComponent(name, version, target, archive, hashlib.sha256(archive.read_bytes()).hexdigest())


def _read_recipe(recipe: Path) -> tuple[str, str, str]:
    """Return name, version and the folder that the recipe's one zip artifact is named after."""
    try:
        body = yaml.safe_load(recipe.read_text())
        name, version = str(body["ComponentName"]), str(body["ComponentVersion"])
        uris = [str(a.get("URI") or a["Uri"]) for m in body["Manifests"] for a in m.get("Artifacts") or ()]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"{recipe}: no recipe: {type(error).__name__}: {error}") from error
    zips = {uri for uri in uris if uri.endswith(".zip")}
    if len(zips) != 1:
        raise BuildError(f"{recipe}: {len(zips)} zip artifacts, must be one: {sorted(zips)}")
    folder = Path(zips.pop()).stem
    return name, version, folder


def _component_files(repo: Path, folder: str) -> dict[str, Path]:
    """Return what goes into a component's zip: path inside it -> path here."""
    component = repo / "edge_components" / folder
    if not (component / "__init__.py").is_file():
        raise BuildError(f"{component}: no such component")
    files = {"edge_components/__init__.py": repo / "edge_components" / "__init__.py"}
    for part in ("wire", "edge_components/common", f"edge_components/{folder}"):
        files.update((path.relative_to(repo).as_posix(), path) for path in source_files(repo / part))
    return files


def source_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a package's folder that belong into a package, in no order."""
    for path in folder.rglob("*"):
        if path.suffix in _PACKED and path.is_file() and "__pycache__" not in path.parts:
            yield path


def write_zip(archive: Path, files: dict[str, Path]) -> None:
    """Write files (path inside -> path here) so that only their names and bytes decide the archive's bytes."""
    part = archive.with_suffix(".part")
    # Stored, not deflated: zlib's output differs between its versions and forks.
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
        for inside in sorted(files):
            info = zipfile.ZipInfo(inside, _TIME)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            packed.writestr(info, files[inside].read_bytes())
    part.replace(archive)


def deployments(built: Built) -> dict[str, str]:
    """Return what to deploy: component name -> version."""
    return {component.name: component.version for component in built.components}


def summary(built: Built) -> list[dict[str, Any]]:
    """Return a JSON-ready row a component."""
    return [
        {"name": c.name, "version": c.version, "zip": str(c.zip), "bytes": c.zip.stat().st_size, "sha256": c.sha256}
        for c in built.components
    ]
