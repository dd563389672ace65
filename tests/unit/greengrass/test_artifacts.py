"""Tests of the artifact store: artifacts are complete or absent, and never outside of their folder."""

from __future__ import annotations

import base64
import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from device_sim.greengrass import artifacts
from device_sim.greengrass.artifacts import ArtifactStore
from device_sim.greengrass.errors import ArtifactError
from device_sim.greengrass.recipe import Artifact, Recipe
from device_sim.greengrass.versions import parse_version


def recipe(*wanted: Artifact) -> Recipe:
    return Recipe("io.x.One", parse_version("1.0.0"), "r.yaml", {}, {}, {}, wanted)


ZIP = Artifact("code.zip", unzip=True, executable=False, digest=None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts" / "io.x.One" / "1.0.0"
    folder.mkdir(parents=True)
    return folder


def pack(file: Path, *members: zipfile.ZipInfo | str) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(member, b"content")


def prepare(tmp_path: Path, wanted: Recipe) -> ArtifactStore:
    store = ArtifactStore(tmp_path / "root")
    store.prepare(wanted, tmp_path / "artifacts")
    return store


def test_an_archive_is_unpacked_in_a_folder_of_its_name(tmp_path: Path, source: Path) -> None:
    pack(source / "code.zip", "pkg/", "pkg/main.py", "top.py")
    wanted = recipe(ZIP)
    folder = prepare(tmp_path, wanted).decompressed_path(wanted)
    assert folder == tmp_path / "root/packages/artifacts-unarchived/io.x.One/1.0.0"
    assert (folder / "code" / "pkg" / "main.py").read_bytes() == b"content"
    assert stat.S_IMODE((folder / "code" / "top.py").stat().st_mode) == 0o644


def test_a_plain_artifact_is_copied_unchanged_and_can_be_executable(tmp_path: Path, source: Path) -> None:
    (source / "tool").write_bytes(b"#!")
    wanted = recipe(Artifact("tool", unzip=False, executable=True, digest=None))
    file = prepare(tmp_path, wanted).path(wanted) / "tool"
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"#!", 0o755)


def test_a_changed_archive_replaces_the_unpacked_one_whole(tmp_path: Path, source: Path) -> None:
    pack(source / "code.zip", "old.py")
    wanted = recipe(ZIP)
    folder = prepare(tmp_path, wanted).decompressed_path(wanted) / "code"
    pack(source / "code.zip", "new.py")
    prepare(tmp_path, wanted)
    assert [path.name for path in folder.iterdir()] == ["new.py"]


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil", "a\\..\\..\\evil", ".."]
)
def test_an_archive_member_outside_of_the_folder_is_rejected(tmp_path: Path, source: Path, name: str) -> None:
    pack(source / "code.zip", "good.py", name)
    with pytest.raises(ArtifactError, match=r"io\.x\.One 1\.0\.0: code\.zip: member .* is outside"):
        prepare(tmp_path, recipe(ZIP))
    assert not list(tmp_path.rglob("evil*"))
    assert not list((tmp_path / "root").rglob("good.py"))


def test_a_link_in_an_archive_is_rejected(tmp_path: Path, source: Path) -> None:
    pack(source / "code.zip", link("passwd"))
    with pytest.raises(ArtifactError, match="'passwd' is not a plain file or folder"):
        prepare(tmp_path, recipe(ZIP))


def test_an_archive_above_the_unpacked_limit_is_rejected(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MAX_UNZIPPED_BYTES", 10)
    pack(source / "code.zip", "a", "b")
    with pytest.raises(ArtifactError, match="more than 10 bytes"):
        prepare(tmp_path, recipe(ZIP))


def test_missing_and_damaged_artifacts_are_named(tmp_path: Path, source: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"code\.zip: No such file or directory: .*artifacts/io\.x\.One/1\.0\.0/code\.zip"
    ):
        prepare(tmp_path, recipe(ZIP))
    (source / "code.zip").write_bytes(b"no zip")
    with pytest.raises(ArtifactError, match="not a zip"):
        prepare(tmp_path, recipe(ZIP))
    digest = base64.b64encode(hashlib.sha256(b"no zip").digest()).decode()
    prepare(tmp_path, recipe(Artifact("code.zip", unzip=False, executable=False, digest=digest)))
    with pytest.raises(ArtifactError, match="the recipe requires other"):
        prepare(tmp_path, recipe(Artifact("code.zip", unzip=False, executable=False, digest="other")))


def test_artifacts_of_removed_components_are_deleted(tmp_path: Path, source: Path) -> None:
    pack(source / "code.zip", "main.py")
    wanted = recipe(ZIP)
    store = prepare(tmp_path, wanted)
    newer = Recipe("io.x.One", parse_version("2.0.0"), "r.yaml", {}, {}, {}, (ZIP,))
    (tmp_path / "artifacts/io.x.One/2.0.0").mkdir()
    pack(tmp_path / "artifacts/io.x.One/2.0.0/code.zip", "main.py")
    store.prepare(newer, tmp_path / "artifacts")
    store.clean([newer])
    assert not store.path(wanted).exists()
    assert not store.decompressed_path(wanted).exists()
    assert (store.decompressed_path(newer) / "code" / "main.py").is_file()
    store.prepare(newer, tmp_path / "none")  # what stays is still good for the next deployment
    store.clean([])
    assert not store.path(newer).exists()


def test_lite_copies_the_folder_as_it_is_and_unpacks_nothing(tmp_path: Path, source: Path) -> None:
    pack(source / "code.zip", "main.py")
    (source / "code").mkdir()
    (source / "code" / "main.py").write_text("unpacked")
    store, wanted = ArtifactStore(tmp_path / "root", unzips=False), recipe(ZIP)
    store.prepare(wanted, tmp_path / "artifacts")
    assert (store.path(wanted) / "code" / "main.py").read_text() == "unpacked"
    assert (store.path(wanted) / "code.zip").is_file()
    assert list(store.decompressed_path(wanted).iterdir()) == []
    # Files put there by hand stay, and a missing folder is accepted.
    (store.decompressed_path(wanted) / "code").mkdir()
    store.prepare(wanted, tmp_path / "absent")
    assert (store.decompressed_path(wanted) / "code").is_dir()
