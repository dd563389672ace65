"""Tests of the build: reproducible, self-contained, and in the layout of greengrass-cli."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from device_sim.errors import BuildError
from device_sim.greengrass.component_build import Nucleus
from device_sim.paths import SOURCE_TREE
from strandline.packaging.components import build, deployment_command

RECIPE = """
RecipeFormatVersion: '2020-01-25'
ComponentName: io.strandline.Thing
ComponentVersion: '1.2.3'
Manifests:
  - Lifecycle:
      run: python3 -m edge_components.thing.main
    Artifacts:
      - URI: s3://strandline-artifacts/io.strandline.Thing/1.2.3/thing.zip
        Unarchive: ZIP
"""


def _tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def small_repo(tmp_path: Path) -> Path:
    repo = tmp_path / "repo"
    for folder in ("wire", "edge_components", "edge_components/common", "edge_components/thing", "recipes"):
        (repo / folder).mkdir(parents=True)
        if folder != "recipes":
            (repo / folder / "__init__.py").write_text('"""x"""\n')
    (repo / "edge_components/thing/main.py").write_text("import wire\nfrom edge_components.common import used\n")
    (repo / "edge_components/common/used.py").write_text("")
    (repo / "edge_components/common/unused.py").write_text("")
    (repo / "edge_components/other").mkdir()
    (repo / "edge_components/other/__init__.py").write_text("")
    (repo / "edge_components/thing/model.tflite").write_bytes(b"TFL3")
    (repo / "edge_components/thing/README.md").write_text("not on a gateway")
    cache = repo / "edge_components/thing/__pycache__"
    cache.mkdir()
    (cache / "x.cpython-311.py").write_text("")
    (repo / "recipes/io.strandline.Thing.yaml").write_text(RECIPE)
    return repo


def test_builds_do_not_depend_on_times_and_modes_of_files(small_repo: Path, tmp_path: Path) -> None:
    build(small_repo, tmp_path / "one")
    other = tmp_path / "elsewhere"
    shutil.copytree(small_repo, other)
    for path in other.rglob("*.py"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o755)
    build(other, tmp_path / "two")
    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")


def test_two_builds_of_the_real_components_give_the_same_bytes(tmp_path: Path) -> None:
    build(SOURCE_TREE, tmp_path / "one")
    build(SOURCE_TREE, tmp_path / "two")
    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")


def test_the_layout_is_that_of_greengrass_cli(small_repo: Path, tmp_path: Path) -> None:
    built = build(small_repo, tmp_path)
    assert sorted(_tree(tmp_path / "greengrass-build")) == [
        "artifacts/io.strandline.Thing/1.2.3/thing.zip",
        "recipes/io.strandline.Thing-1.2.3.yaml",
    ]
    assert built.versions == {"io.strandline.Thing": "1.2.3"}


def test_a_zip_contains_the_modules_that_its_program_imports_and_the_data_beside_them(
    small_repo: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(build(small_repo, tmp_path).components[0].artifact) as packed:
        assert packed.namelist() == [
            "edge_components/__init__.py",
            "edge_components/common/__init__.py",
            "edge_components/common/used.py",
            "edge_components/thing/__init__.py",
            "edge_components/thing/main.py",
            "edge_components/thing/model.tflite",
            "wire/__init__.py",
        ]
        assert {stat.S_IMODE(info.external_attr >> 16) for info in packed.infolist()} == {0o644}


def test_for_nucleus_lite_the_same_files_lie_unpacked(small_repo: Path, tmp_path: Path) -> None:
    """Its ggl-cli copies artifacts as they are and unzips none."""
    (tmp_path / "greengrass-build-lite/artifacts/io.strandline.Thing/1.2.3/thing/wire").mkdir(parents=True)
    (tmp_path / "greengrass-build-lite/artifacts/io.strandline.Thing/1.2.3/thing/wire/of_an_earlier_build.py").touch()
    built = build(small_repo, tmp_path, Nucleus.LITE)
    unpacked = tmp_path / "greengrass-build-lite/artifacts/io.strandline.Thing/1.2.3/thing"
    with zipfile.ZipFile(build(small_repo, tmp_path).components[0].artifact) as packed:
        assert _tree(unpacked) == {name: packed.read(name) for name in packed.namelist()}
    assert built.components[0].artifact == unpacked
    assert built.components[0].size == sum(len(content) for content in _tree(unpacked).values())
    assert _tree(built.recipes) == _tree(tmp_path / "greengrass-build/recipes")


def test_wheels_go_into_the_artifact_of_the_shared_environment_only(small_repo: Path, tmp_path: Path) -> None:
    (small_repo / "edge_components/runtime").mkdir()
    (small_repo / "edge_components/runtime/__init__.py").write_text("")
    name = "io.strandline.Runtime"
    recipe = RECIPE.replace("io.strandline.Thing", name).replace("thing.zip", "runtime.zip")
    (small_repo / f"recipes/{name}.yaml").write_text(recipe)
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"wheel")
    built = build(small_repo, tmp_path, wheels={"x-1.0-py3-none-any.whl": wheel})
    with_wheels = []
    for component in built.components:
        with zipfile.ZipFile(component.artifact) as packed:
            with_wheels += [component.name for inside in packed.namelist() if inside == "wheels/x-1.0-py3-none-any.whl"]
    assert with_wheels == [name]


@pytest.mark.parametrize("nucleus", list(Nucleus))
def test_extras_become_the_default_of_the_shared_environment_and_change_no_other_recipe(
    tmp_path: Path, nucleus: Nucleus
) -> None:
    plain = build(SOURCE_TREE, tmp_path / "plain", nucleus)
    built = build(SOURCE_TREE, tmp_path / "extras", nucleus, extras=["modbus", "opcua"])
    before, after = _tree(plain.recipes), _tree(built.recipes)
    assert [name for name in before if before[name] != after[name]] == ["io.strandline.Runtime-0.1.0.yaml"]
    recipe = yaml.safe_load(after["io.strandline.Runtime-0.1.0.yaml"])
    assert recipe["ComponentConfiguration"] == {"DefaultConfiguration": {"extras": "modbus,opcua"}}


def test_the_deployment_command_is_that_of_the_nucleus() -> None:
    deploy = {"io.strandline.A": "0.1.0", "io.strandline.B": "0.2.0"}
    assert deployment_command(Nucleus.JAVA, Path("r"), Path("my a"), deploy) == (
        "sudo /greengrass/v2/bin/greengrass-cli deployment create --recipeDir r --artifactDir 'my a' "
        "--merge io.strandline.A=0.1.0 --merge io.strandline.B=0.2.0"
    )
    assert deployment_command(Nucleus.LITE, Path("r"), Path("a"), deploy) == (
        "sudo ggl-cli deploy -r r -a a -c io.strandline.A=0.1.0 -c io.strandline.B=0.2.0"
    )


@pytest.mark.parametrize(
    "recipe", sorted(p.stem for p in (SOURCE_TREE / "recipes").glob("*.yaml") if "Runtime" not in p.stem)
)
def test_a_components_zip_alone_gives_its_configuration(recipe: str, tmp_path: Path) -> None:
    component = next(c for c in build(SOURCE_TREE, tmp_path).components if c.name == recipe)
    folder = component.artifact.stem
    with zipfile.ZipFile(component.artifact) as packed:
        packed.extractall(tmp_path / "unpacked")
    code = (
        f"import edge_components.{folder}.config as c, wire, edge_components.common.config as shared;"
        "print(c.__file__); print(wire.__file__); c.Config(); shared.table(c.Config)"
    )
    result = subprocess.run(
        # -P keeps the working directory off the path: only the zip can be imported.
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(tmp_path / "unpacked"), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert all(line.startswith(str(tmp_path / "unpacked")) for line in result.stdout.split())


def test_a_repository_without_recipes_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="recipes: no recipes"):
        build(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "not a recipe: "),
        ("- 1", "not a recipe: TypeError"),
        ("ComponentName: x", "not a recipe: KeyError: 'ComponentVersion'"),
        (RECIPE.replace("thing.zip", "thing.tar"), "0 zip artifacts, exactly one is required"),
        (RECIPE.replace("thing.zip", "gone.zip"), "gone: no such component"),
        (RECIPE.replace("thing.main", "thing.gone"), "starts edge_components.thing.gone: no such module"),
    ],
)
def test_the_error_for_an_invalid_recipe_names_it(small_repo: Path, tmp_path: Path, text: str, problem: str) -> None:
    (small_repo / "recipes/io.strandline.Thing.yaml").write_text(text)
    with pytest.raises(BuildError, match=problem):
        build(small_repo, tmp_path)


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(small_repo: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(BuildError, match=r"file/greengrass-build.*: Not a directory"):
        build(small_repo, file)
