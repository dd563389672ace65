"""The wheel of this distribution: built once; its content, and its commands in an environment without a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from device_sim.aws.package import stage_functions
from device_sim.paths import SOURCE_TREE
from strandline import __version__
from strandline.packaging.components import build
from tests.integration.strandline.source_copy import PARTS, copy_sources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


def _tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_wheel_has_the_version_of_the_package_and_only_its_own_folders(wheel: Path, unpacked: Path) -> None:
    assert wheel.name == f"strandline-{__version__}-py3-none-any.whl"
    assert {path.name for path in unpacked.iterdir()} == {*PARTS, f"strandline-{__version__}.dist-info"}


def test_the_components_built_from_the_wheel_have_the_bytes_of_those_built_from_the_sources(
    unpacked: Path, tmp_path: Path
) -> None:
    build(unpacked, tmp_path / "wheel")
    build(SOURCE_TREE, tmp_path / "sources")
    assert _tree(tmp_path / "wheel") == _tree(tmp_path / "sources")


def test_the_lambda_packages_built_from_the_wheel_have_the_bytes_of_those_built_from_the_sources(
    unpacked: Path, tmp_path: Path
) -> None:
    for name, repo in (("wheel", unpacked), ("sources", SOURCE_TREE)):
        stage_functions(repo, tmp_path / name)
    assert _tree(tmp_path / "wheel") == _tree(tmp_path / "sources")


def test_the_wheel_has_the_templates_the_page_and_the_data_files(unpacked: Path) -> None:
    for name in (
        "cloud_functions/template.yaml",
        "cloud_functions/fleet.yaml",
        "cloud_functions/samconfig.toml",
        "cloud_functions/api/openapi.json",
        "cloud_functions/dashboard/dist/index.html",
        "device_sim/chaos/shifted/sitecustomize.py",
        "edge_components/runtime/extra-modbus.txt",
    ):
        assert (unpacked / name).is_file(), name


def test_an_editable_installation_has_no_warning(tmp_path: Path) -> None:
    sources = copy_sources(tmp_path / "sources")
    venv.create(tmp_path / "venv", with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(tmp_path / "venv/bin/python"), "install", "--quiet"]
    done = subprocess.run([*pip, "--no-deps", "--editable", str(sources)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stdout + done.stderr
    (path,) = (tmp_path / "venv").rglob("__editable__*.pth")
    assert path.read_text().strip() == str(sources)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `strandline` of a new environment with the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", str(wheel)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "ConnectionError" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return folder / "venv/bin/strandline"


def run(command: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    return subprocess.run(
        [command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_commands_of_an_installed_wheel_need_no_checkout(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "--version").stdout == f"strandline {__version__}\n"
    assert "detect" in run(installed, tmp_path, "--help").stdout
    built = run(installed, tmp_path, "build", "--json")
    assert built.returncode == 0, built.stderr
    assert Path(tmp_path / json.loads(built.stdout)["template"]).is_file()
    rows = "".join(f"{at * 60},{20 + at % 7 / 10}\n" for at in range(400))
    (tmp_path / "history.csv").write_text(f"time,temperature\n{rows}399999,99\n")
    arguments = ("history.csv", "--time", "time", "--values", "temperature", "--out", "scores")
    scored = run(installed, tmp_path, "detect", *arguments, "--calibrate", "100")
    assert scored.returncode == 0, scored.stderr
    assert (tmp_path / "scores/history.csv").is_file()


@pytest.mark.parametrize(("command", "extra"), [("demo", "sim"), ("gateways", "cloud")])
def test_a_missing_extra_is_named_with_a_command_that_names_the_wheel(
    installed: Path, wheel: Path, tmp_path: Path, command: str, extra: str
) -> None:
    done = run(installed, tmp_path, command)
    assert done.returncode == 1
    assert done.stderr.endswith(f"pip install 'strandline[{extra}] @ {wheel.as_uri()}'\n")
