"""Packaging of a model as a Greengrass component, for greengrass-cli, ggl-cli and the local nucleus.

::

    <out>/recipes/<NAME>-<VERSION>.yaml
    <out>/artifacts/<NAME>/<VERSION>/model.zip        model.tflite and manifest.json
    <out>/artifacts/<NAME>/<VERSION>/model/           the same unpacked: ggl-cli of nucleus lite does not unzip

The component has one step: it creates a link to its unpacked artifact in its work folder, where the anomaly detector
finds it (docs/models.md gives the reason). It has no dependencies, and no component depends on it, so that a deployment
restarts no other component.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from strandline.errors import TrainingError
from strandline.packaging.components import write_folder, write_zip

PREFIX = "io.strandline.model."
BUCKET = "strandline-artifacts"
OFFER = (
    'cd "{artifacts:decompressedPath}/model" 2>/dev/null || cd "{artifacts:path}/model" && '
    'ln -sfn "$(pwd)" "{work:path}/model.new" && mv -T "{work:path}/model.new" "{work:path}/model"'
)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class PackedModel:
    """Name, version and files of a packed model component."""

    name: str
    version: str
    recipe: Path
    artifact: Path


def component_name(group: str) -> str:
    """Return the name of a group's model component."""
    return f"{PREFIX}{group[:1].upper()}{group[1:]}"


def next_version(out: Path, group: str) -> str:
    """Return the version after the newest existing one, or the first version."""
    folder = out / "artifacts" / component_name(group)
    existing = [match for path in folder.glob("*") if (match := _VERSION.fullmatch(path.name))]
    if not existing:
        return "0.1.0"
    major, minor, _ = max(tuple(int(part) for part in match.groups()) for match in existing)
    return f"{major}.{minor + 1}.0"


def copy_newest_models(models: Path, recipes: Path, artifacts: Path) -> dict[str, str]:
    """Copy the newest version of every model in ``models`` into a build; return the versions to deploy by name.

    Raises TrainingError if ``models`` contains none or one cannot be copied.
    """
    newest: dict[str, tuple[int, ...]] = {}
    for recipe in (models / "recipes").glob(f"{PREFIX}*.yaml"):
        name, _, version = recipe.stem.rpartition("-")
        if match := _VERSION.fullmatch(version):
            newest[name] = max(newest.get(name, ()), tuple(int(part) for part in match.groups()))
    if not newest:
        raise TrainingError(f"--models {models}: no model components; `strandline train` creates them")
    deploy = {name: ".".join(str(part) for part in version) for name, version in sorted(newest.items())}
    try:
        for name, version in deploy.items():
            shutil.copy(models / "recipes" / f"{name}-{version}.yaml", recipes)
            target = artifacts / name / version
            shutil.copytree(models / "artifacts" / name / version, target, dirs_exist_ok=True)
    except OSError as error:
        raise TrainingError(f"--models {error.filename}: {error.strerror}") from error
    return deploy


def pack(out: Path, model: bytes, manifest: Mapping[str, Any]) -> PackedModel:
    """Write the component; raises TrainingError if the version already exists or cannot be written.

    ``manifest`` describes the model; name, file, size and digest are added here.
    """
    group, version = str(manifest["group"]), str(manifest["version"])
    name = component_name(group)
    recipe, artifact = out / "recipes" / f"{name}-{version}.yaml", out / "artifacts" / name / version / "model.zip"
    if artifact.exists() or recipe.exists():
        raise TrainingError(f"--version {version}: {name} {version} already exists in {out}; a version never changes")
    whole = {
        "name": f"{group}-{manifest['kind']}",
        "file": "model.tflite",
        "size": len(model),
        "sha256": hashlib.sha256(model).hexdigest(),
        **manifest,
    }
    try:
        recipe.parent.mkdir(parents=True, exist_ok=True)
        artifact.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            files = {"model.tflite": Path(scratch) / "model.tflite", "manifest.json": Path(scratch) / "manifest.json"}
            files["model.tflite"].write_bytes(model)
            files["manifest.json"].write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n")
            write_folder(artifact.with_suffix(""), files)
            write_zip(artifact, files)
        recipe.write_text(
            "---\n" + yaml.safe_dump(_recipe(name, version, group, str(manifest["kind"])), sort_keys=False)
        )
    except OSError as error:
        raise TrainingError(f"{error.filename or out}: {error.strerror}") from error
    return PackedModel(name, version, recipe, artifact)


def _recipe(name: str, version: str, group: str, kind: str) -> dict[str, Any]:
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "ComponentType": "aws.greengrass.generic",
        "ComponentDescription": f"A TFLite {kind} of the group {group}, for io.strandline.AnomalyDetector.",
        "ComponentPublisher": "Strandline",
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Lifecycle": {"run": {"Script": OFFER}},
                "Artifacts": [
                    {
                        "URI": f"s3://{BUCKET}/{name}/{version}/model.zip",
                        "Unarchive": "ZIP",
                        "Permission": {"Read": "ALL", "Execute": "NONE"},
                    }
                ],
            }
        ],
    }
