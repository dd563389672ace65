"""Artifact store: copies the files of a local deployment to ``{artifacts:path}`` and ``{artifacts:decompressedPath}``.

The Java nucleus copies and unpacks the files that a recipe lists. Nucleus lite copies the component's whole folder
unchanged and unpacks nothing, so its ``{artifacts:decompressedPath}`` stays empty unless files are put there by hand.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from device_sim.greengrass.errors import ArtifactError
from device_sim.greengrass.recipe import Artifact, Recipe

MAX_UNZIPPED_BYTES = 1024 * 1024 * 1024
MAX_MEMBERS = 100_000
_CHUNK = 1024 * 1024


class ArtifactStore:
    """Folders of artifacts and of unpacked archives below ``root/packages``."""

    def __init__(self, root: Path, unzips: bool = True) -> None:
        self._packages, self._unzips = root / "packages", unzips

    def path(self, recipe: Recipe) -> Path:
        """Return the folder of a component's artifacts as delivered."""
        return self._packages / "artifacts" / recipe.name / str(recipe.version)

    def decompressed_path(self, recipe: Recipe) -> Path:
        """Return the folder of a component's unpacked archives; each has a subfolder with the archive's name."""
        return self._packages / "artifacts-unarchived" / recipe.name / str(recipe.version)

    def prepare(self, recipe: Recipe, source: Path) -> None:
        """Copy the artifacts of ``recipe`` from ``source/NAME/VERSION``; raises ArtifactError."""
        self.path(recipe).mkdir(parents=True, exist_ok=True)
        self.decompressed_path(recipe).mkdir(parents=True, exist_ok=True)
        if not self._unzips:
            self._copy_folder(recipe, source / recipe.name / str(recipe.version))
            return
        for artifact in recipe.artifacts:
            self._prepare_artifact(recipe, artifact, source / recipe.name / str(recipe.version) / artifact.file)

    def _copy_folder(self, recipe: Recipe, source: Path) -> None:
        """Copy everything into ``{artifacts:path}``; a missing folder is accepted, as on nucleus lite."""
        if source.is_dir():
            try:
                shutil.copytree(source, self.path(recipe), symlinks=True, dirs_exist_ok=True)
            except (OSError, shutil.Error) as error:
                raise ArtifactError(f"{recipe.name} {recipe.version}: {source}: {error}") from error

    def clean(self, recipes: Iterable[Recipe]) -> None:
        """Remove all artifacts except those of these recipes."""
        kept = {(recipe.name, str(recipe.version)) for recipe in recipes}
        for folder in ("artifacts", "artifacts-unarchived"):
            for version in (self._packages / folder).glob("*/*"):
                if (version.parent.name, version.name) not in kept:
                    shutil.rmtree(version, ignore_errors=True)

    def _prepare_artifact(self, recipe: Recipe, artifact: Artifact, source: Path) -> None:
        kept = self.path(recipe) / artifact.file
        try:
            if not source.is_file() and kept.is_file():
                source = kept  # copied by an earlier deployment from another folder
            digest = _sha256(source)
            self._check(recipe, artifact, digest)
            if not kept.is_file() or _sha256(kept) != digest:
                _replace(source, kept)
            kept.chmod(0o755 if artifact.executable else 0o644)
            if artifact.unzip:
                _unzip(kept, self.decompressed_path(recipe) / kept.stem, digest, artifact.executable)
        except ArtifactError as error:
            raise ArtifactError(f"{recipe.name} {recipe.version}: {artifact.file}: {error}") from error
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            why = f"{error.strerror}: {source}" if isinstance(error, OSError) and error.strerror else error
            raise ArtifactError(f"{recipe.name} {recipe.version}: {artifact.file}: {why}") from error

    @staticmethod
    def _check(recipe: Recipe, artifact: Artifact, digest: bytes) -> None:
        if artifact.digest is not None and artifact.digest != base64.b64encode(digest).decode():
            raise ArtifactError(
                f"SHA-256 is {base64.b64encode(digest).decode()}, the recipe requires {artifact.digest}"
            )


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _replace(source: Path, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, fresh)
    fresh.replace(target)


def _unzip(archive: Path, target: Path, digest: bytes, executable: bool) -> None:
    """Unpack into ``target`` atomically; skip an archive that is already unpacked there."""
    marker = target.with_name(f".{target.name}.sha256")
    if target.is_dir() and marker.is_file() and marker.read_text() == digest.hex():
        return
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        with zipfile.ZipFile(archive) as source:
            _extract(source, fresh, executable)
        marker.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        fresh.replace(target)
        marker.write_text(digest.hex())
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _extract(source: zipfile.ZipFile, target: Path, executable: bool) -> None:
    members = source.infolist()
    if len(members) > MAX_MEMBERS:
        raise ArtifactError(f"{len(members)} members, at most {MAX_MEMBERS} are allowed")
    left = MAX_UNZIPPED_BYTES
    for member in members:
        destination = target / _safe(member)
        if member.is_dir():
            destination.mkdir(parents=True, exist_ok=True)
            continue
        destination.parent.mkdir(parents=True, exist_ok=True)
        with source.open(member) as packed, destination.open("xb") as file:
            # The size in the archive's directory is not trustworthy, so the unpacked bytes are counted.
            while chunk := packed.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise ArtifactError(f"unpacks to more than {MAX_UNZIPPED_BYTES} bytes")
                file.write(chunk)
        destination.chmod(0o755 if executable else 0o644)


def _safe(member: zipfile.ZipInfo) -> PurePosixPath:
    """Return the relative path of a member; raises ArtifactError when it leaves the folder or is not a plain file."""
    name = member.filename
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0] or "\0" in name:
        raise ArtifactError(f"member {name!r} is outside of the folder that it is unpacked to")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArtifactError(f"member {name!r} is not a plain file or folder")
    return path


def check_readable(folder: Path, what: str) -> None:
    """Raise ArtifactError unless ``folder`` is a readable folder."""
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        raise ArtifactError(f"{what} {folder}: not a readable folder")
