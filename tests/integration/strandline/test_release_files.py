"""The script of the release, run whole: all files are there, and another build has the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from device_sim.paths import SOURCE_TREE
from strandline import __version__
from strandline.packaging.components import build
from tests.integration.strandline.source_copy import copy_sources
from tests.unit.strandline.test_release import script

pytestmark = pytest.mark.slow
COMPONENTS = ("SensorReader", "Aggregator", "AnomalyDetector", "Forwarder", "Runtime")
CHANGES = "### Added\n- a change\n"


def release(sources: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(sources / ".ci/release.py"), __version__, str(out)],
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
    )


def checkout(folder: Path) -> Path:
    """Return a copy of the sources with a section of the changelog."""
    sources = copy_sources(folder)
    (sources / ".ci").mkdir()
    shutil.copyfile(SOURCE_TREE / ".ci/release.py", sources / ".ci/release.py")
    (sources / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{__version__}]\n\n{CHANGES}")
    return sources


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a release, from a checkout whose path has a space and where an earlier build left a file."""
    folder = tmp_path_factory.mktemp("a release")
    sources = checkout(folder / "sources")
    (sources / "build/lib/strandline").mkdir(parents=True)
    (sources / "build/lib/strandline/deleted.py").write_text("")
    done = release(sources, folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_wheel_of_another_checkout_has_the_same_bytes(released: Path, wheel: Path, tmp_path: Path) -> None:
    """The other checkout has another path, and files of another mode."""
    other = tmp_path / wheel.name
    shutil.copyfile(wheel, other)
    assert other.read_bytes() != (released / wheel.name).read_bytes()
    script().set_modes(other)
    assert other.read_bytes() == (released / wheel.name).read_bytes()


def test_another_build_of_the_components_has_the_same_bytes(released: Path, tmp_path: Path) -> None:
    built = build(SOURCE_TREE, tmp_path)
    for component in built.components:
        name = f"{component.name}-{component.version}.zip"
        assert component.artifact.read_bytes() == (released / name).read_bytes(), name


def test_all_files_of_a_release_are_there_with_their_checksums(released: Path) -> None:
    files = contents(released)
    wheel = f"strandline-{__version__}-py3-none-any.whl"
    assert {wheel, "sbom.cdx.json", "CHANGES.md", "SHA256SUMS"} <= files.keys()
    for name in COMPONENTS:
        assert any(one.startswith(f"io.strandline.{name}-") and one.endswith(".zip") for one in files), name
    lines = [line.split("  ") for line in files["SHA256SUMS"].decode().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert sums == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != "SHA256SUMS"
    }
    assert files["CHANGES.md"].decode() == CHANGES
    assert any(one["name"] == "numpy" for one in json.loads(files["sbom.cdx.json"])["components"])


def test_a_file_that_an_earlier_build_left_is_not_in_the_wheel(released: Path) -> None:
    (wheel,) = released.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert "strandline/deleted.py" not in packed.namelist()
        assert "strandline/cli.py" in packed.namelist()


def test_a_failed_build_is_one_sentence(tmp_path: Path) -> None:
    sources = checkout(tmp_path / "sources")
    (sources / "pyproject.toml").write_text("[build-system]\nrequires = []\nbuild-backend = 'absent'\n")
    done = release(sources, tmp_path / "out")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "release: the wheel cannot be built: the reason is above",
    )
