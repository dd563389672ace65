"""Publication of the last build: as built, or an error that names the command which repeats it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from device_sim.errors import BuildError
from strandline.cli import make_app
from strandline.packaging.build_record import last_build, write
from strandline.packaging.components import build
from tests.unit.strandline.test_progress import RECIPE

OPTIONS = ["--offline", "--python", "3.13"]
RUNTIME_RECIPE = f"""{RECIPE.format(name="Runtime", folder="runtime")}
ComponentConfiguration:
  DefaultConfiguration:
    extras: none
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / "recipes").mkdir(parents=True)
    text = RUNTIME_RECIPE.replace("s3://bucket/", "s3://strandline-artifacts/io.strandline.Runtime/1.0.0/")
    (folder / "recipes/Runtime.yaml").write_text(text)
    package = folder / "edge_components/runtime"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text("")
    return folder


def recorded(repo: Path, out: Path, options: list[str]) -> Path:
    wheel = out / "a.whl"
    out.mkdir(exist_ok=True)
    wheel.write_bytes(b"wheel")
    built = build(repo, out, wheels={"3.13/a.whl": wheel}, extras=["modbus"])
    write(repo, out, built, options)
    return built.components[0].artifact


def test_the_recorded_build_is_that_with_its_wheels_and_extras(repo: Path, tmp_path: Path) -> None:
    artifact = recorded(repo, tmp_path / "out", OPTIONS)
    content = artifact.read_bytes()
    found = last_build(repo, tmp_path / "out")
    assert found is not None
    (component,) = found.components
    assert (component.artifact, component.size) == (artifact, len(content))
    assert "extras: modbus" in component.recipe.read_text()
    assert artifact.read_bytes() == content


@pytest.mark.parametrize("change", ["source", "recipe", "artifact", "built recipe", "removed"])
def test_a_build_with_options_that_is_out_of_date_is_an_error_with_the_command(
    change: str, repo: Path, tmp_path: Path
) -> None:
    artifact = recorded(repo, tmp_path / "out", OPTIONS)
    changed = {
        "source": repo / "edge_components/runtime/main.py",
        "recipe": repo / "recipes/Runtime.yaml",
        "built recipe": tmp_path / "out/greengrass-build/recipes/io.strandline.Runtime-1.0.0.yaml",
    }.get(change, artifact)
    if change == "removed":
        changed.unlink()
    else:
        changed.write_bytes(changed.read_bytes() + b"\n# changed\n")
    with pytest.raises(BuildError) as raised:
        last_build(repo, tmp_path / "out")
    assert "io.strandline.Runtime" in str(raised.value)
    assert str(raised.value).endswith("same options: strandline build --offline --python 3.13")


def test_a_build_without_options_that_is_out_of_date_is_built_again(repo: Path, tmp_path: Path) -> None:
    recorded(repo, tmp_path / "out", [])
    assert last_build(repo, tmp_path / "out") is not None
    (repo / "edge_components/runtime/main.py").write_text("x = 1\n")
    assert last_build(repo, tmp_path / "out") is None
    assert last_build(repo, tmp_path / "nothing") is None


def test_a_record_that_is_damaged_is_an_error(repo: Path, tmp_path: Path) -> None:
    recorded(repo, tmp_path / "out", [])
    (tmp_path / "out/build/components.json").write_text("[]")
    with pytest.raises(BuildError, match="not the record of a build"):
        last_build(repo, tmp_path / "out")


def test_publish_publishes_the_artifact_that_was_built(repo: Path, tmp_path: Path) -> None:
    artifact = recorded(repo, tmp_path / "out", OPTIONS)
    before = artifact.read_bytes()
    words = ["publish", "--bucket", "mine", "--dry-run", "--repo", str(repo), "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(make_app(), words)
    assert done.exit_code == 0, done.output
    upload, _create = json.loads(done.stdout)["commands"]
    assert str(artifact) in upload
    assert artifact.read_bytes() == before
    (repo / "edge_components/runtime/main.py").write_text("x = 1\n")
    done = CliRunner().invoke(make_app(), words)
    assert done.exit_code == 1
    assert isinstance(done.exception, BuildError)
    assert artifact.read_bytes() == before
