"""Build of the components for a nucleus; the same sources give the same bytes on every machine.

For greengrass-cli, for upload to AWS and for the local nucleus::

    <out>/greengrass-build/recipes/<NAME>-<VERSION>.yaml
    <out>/greengrass-build/artifacts/<NAME>/<VERSION>/<folder>.zip

For local deployments on nucleus lite, whose ggl-cli copies artifacts without unzipping them::

    <out>/greengrass-build-lite/recipes/<NAME>-<VERSION>.yaml
    <out>/greengrass-build-lite/artifacts/<NAME>/<VERSION>/<folder>/...

The recipes are those of the source tree, but for the default of ``extras``. An artifact contains the modules that the
programs in the recipe's scripts can import, at the import paths of the source tree, and the data files beside the
component's modules; that of io.strandline.Runtime may also contain wheels.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from device_sim.errors import BuildError
from device_sim.greengrass.component_build import Built, BuiltComponent, Nucleus
from device_sim.imports import MODULE_NAME, SourceTree
from device_sim.paths import SOURCE_TREE
from strandline.progress import Progress, no_progress

_DATA = frozenset({".txt", ".json", ".yaml", ".tflite", ".fbs"})
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip supports
RUNTIME = "runtime"
"""Folder of the component whose artifact contains the wheels."""
NO_EXTRAS = "\n    extras: none\n"


FOLDERS = {Nucleus.JAVA: "greengrass-build", Nucleus.LITE: "greengrass-build-lite"}


def build(
    repo: Path,
    out: Path,
    nucleus: Nucleus = Nucleus.JAVA,
    wheels: Mapping[str, Path] | None = None,
    extras: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Built:
    """Pack every recipe of ``repo/recipes``.

    ``wheels`` (name -> file) go into the artifact of the shared environment, and ``extras`` become the default of its
    configuration key. Raises BuildError for an invalid recipe or a missing folder, and where nothing can be written.
    """
    recipes = sorted((repo / "recipes").glob("*.yaml"))
    if not recipes:
        raise BuildError(f"{repo / 'recipes'}: no recipes (*.yaml)")
    folder = out / FOLDERS[nucleus]
    try:
        components = []
        for recipe in recipes:
            components.append(_build_component(repo, recipe, folder, nucleus, wheels or {}, extras))
            progress(len(components), len(recipes))
    except OSError as error:
        raise BuildError(f"{error.filename or folder}: {error.strerror}") from error
    return Built(nucleus, folder / "recipes", folder / "artifacts", tuple(components))


def source_digests(repo: Path) -> dict[str, str]:
    """Return a digest of the recipe and of the files of each component, without wheels, by the component's name."""
    digests = {}
    for recipe in sorted((repo / "recipes").glob("*.yaml")):
        name, _version, folder, programs = _read_recipe(recipe)
        digests[name] = _digest({"recipe": recipe, **_component_files(repo, folder, programs)})
    return digests


def build_here(out: Path, nucleus: Nucleus) -> Built:
    """Build the components of this source tree; a :data:`device_sim.greengrass.component_build.Build`."""
    return build(SOURCE_TREE, out, nucleus)


def _build_component(
    repo: Path, recipe: Path, out: Path, nucleus: Nucleus, wheels: Mapping[str, Path], extras: Sequence[str]
) -> BuiltComponent:
    name, version, folder, programs = _read_recipe(recipe)
    files = _component_files(repo, folder, programs)
    if folder == RUNTIME:
        files |= {f"wheels/{wheel}": path for wheel, path in wheels.items()}
    target = out / "recipes" / f"{name}-{version}.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = recipe.read_text()
    target.write_text(_with_extras(recipe, text, extras) if folder == RUNTIME and extras else text)
    artifact = out / "artifacts" / name / version / folder
    artifact.parent.mkdir(parents=True, exist_ok=True)
    if nucleus is Nucleus.LITE:
        write_folder(artifact, files)
        return BuiltComponent(name, version, target, artifact, _size(files), _digest(files))
    archive = artifact.with_suffix(".zip")
    write_zip(archive, files)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return BuiltComponent(name, version, target, archive, archive.stat().st_size, digest)


def _with_extras(recipe: Path, text: str, extras: Sequence[str]) -> str:
    """Return the recipe with another default: ggl-cli cannot configure a component that it deploys."""
    if text.count(NO_EXTRAS) != 1:
        raise BuildError(f"{recipe}: expected one line {NO_EXTRAS.strip()!r}")
    return text.replace(NO_EXTRAS, f"\n    extras: {','.join(extras)}\n")


def _size(files: Mapping[str, Path]) -> int:
    return sum(path.stat().st_size for path in files.values())


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for inside in sorted(files):
        digest.update(f"{inside}\0{hashlib.sha256(files[inside].read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()


def _read_recipe(recipe: Path) -> tuple[str, str, str, list[str]]:
    """Return name, version, the folder that the one zip artifact is named after, and the modules that scripts start."""
    try:
        body = yaml.safe_load(recipe.read_text())
        name, version = str(body["ComponentName"]), str(body["ComponentVersion"])
        uris = [str(a.get("URI") or a["Uri"]) for m in body["Manifests"] for a in m.get("Artifacts") or ()]
        programs = MODULE_NAME.findall(json.dumps([m.get("Lifecycle") for m in body["Manifests"]]))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"{recipe}: not a recipe: {type(error).__name__}: {error}") from error
    zips = {uri for uri in uris if uri.endswith(".zip")}
    if len(zips) != 1:
        raise BuildError(f"{recipe}: {len(zips)} zip artifacts, exactly one is required: {sorted(zips)}")
    folder = Path(zips.pop()).stem
    return name, version, folder, programs


def _component_files(repo: Path, folder: str, programs: list[str]) -> dict[str, Path]:
    """Return the files of a component's artifact: path in the artifact -> file."""
    component, tree = repo / "edge_components" / folder, SourceTree(repo)
    if not (component / "__init__.py").is_file():
        raise BuildError(f"{component}: no such component")
    if unknown := [program for program in programs if tree.file(program) is None]:
        raise BuildError(f"the recipe for {folder} starts {', '.join(unknown)}: no such module")
    files = set(tree.reachable(programs).values())
    for package in {file.parent for file in files if file.is_relative_to(component)}:
        files.update(file for file in package.iterdir() if file.suffix in _DATA)
    return {file.relative_to(repo).as_posix(): file for file in files}


def write_folder(folder: Path, files: Mapping[str, Path]) -> None:
    """Write files (path in the folder -> file) and remove everything else from the folder."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for inside, path in files.items():
        target = part / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


def write_zip(archive: Path, files: Mapping[str, Path]) -> None:
    """Write files (path in the archive -> file); the archive's bytes depend only on their paths and contents."""
    part = archive.with_suffix(".part")
    # Stored, not deflated: zlib's output differs between its versions and forks.
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
        for inside in sorted(files):
            info = zipfile.ZipInfo(inside, _TIME)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            packed.writestr(info, files[inside].read_bytes())
    part.replace(archive)


def deployment_command(nucleus: Nucleus, recipes: Path, artifacts: Path, deploy: Mapping[str, str]) -> str:
    """Return the shell command that deploys components on a gateway that has the two folders."""
    versions = [f"{name}={version}" for name, version in deploy.items()]
    if nucleus is Nucleus.LITE:
        command = ["sudo", "ggl-cli", "deploy", "-r", str(recipes), "-a", str(artifacts)]
        option = "-c"
    else:
        command = ["sudo", "/greengrass/v2/bin/greengrass-cli", "deployment", "create"]
        command += ["--recipeDir", str(recipes), "--artifactDir", str(artifacts)]
        option = "--merge"
    for version in versions:
        command += [option, version]
    return shlex.join(command)


def summary(built: Built) -> list[dict[str, Any]]:
    """Return one JSON-ready row per component."""
    return [
        {"name": c.name, "version": c.version, "artifact": str(c.artifact), "bytes": c.size, "sha256": c.sha256}
        for c in built.components
    ]
