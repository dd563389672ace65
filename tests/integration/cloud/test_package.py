"""Tests of the Lambda packages: contents, requirements, and the import of each handler from its package alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from device_sim.aws.package import function_files, functions, requirements, source_tree, stage_functions, zip_folder
from device_sim.aws.package_environment import RUNTIME, environment, installed, link
from device_sim.paths import SOURCE_TREE

TREE = source_tree(SOURCE_TREE)
FUNCTIONS = ("alerting", "api", "archive", "compaction", "forecast", "ingest", "notify", "watch")
REQUIRED = {
    "alerting": set(),
    "api": {"numpy"},
    "archive": {"numpy", "pyarrow"},
    "compaction": {"numpy", "pyarrow"},
    "forecast": {"numpy"},
    "ingest": {"numpy"},
    "notify": set(),
    "watch": {"numpy"},
}
"""Packages that the modules of each function can import, besides those of the runtime."""
LOADED_AT_START = {"botocore", "dateutil", "jmespath", "six", "urllib3"}
"""Packages that the import of a handler loads. NumPy and pyarrow are loaded where rows are decoded."""
LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return stage_functions(SOURCE_TREE, tmp_path_factory.mktemp("packages") / "lambda")


def modules_of(loaded: list[str]) -> set[str]:
    """Return the top-level names of modules that come from distributions."""
    distributions = metadata.packages_distributions()
    tops = {name.split(".")[0] for name in loaded}
    return {top for top in tops if top in distributions} - {"cloud_functions", "wire", "strandline"}


def test_every_function_has_a_package() -> None:
    assert tuple(functions(SOURCE_TREE)) == FUNCTIONS == tuple(sorted(REQUIRED))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_is_imported_from_its_package_and_its_requirements_alone(
    packages: Mapping[str, Path], function: str, tmp_path: Path
) -> None:
    link(installed([*requirements(TREE, function), *RUNTIME]), tmp_path / "site")
    path = os.pathsep.join(map(str, (packages[function], tmp_path / "site")))
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", LOADED, f"cloud_functions.{function}.app"],
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], **environment(SOURCE_TREE, function)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Each run of watch decodes rows.
    at_start = LOADED_AT_START | ({"numpy"} if function == "watch" else set())
    assert modules_of(json.loads(done.stdout)) <= at_start


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_requires_the_packages_that_its_modules_can_import(function: str) -> None:
    names = {Requirement(line).name.replace("-", "_") for line in requirements(TREE, function)}
    assert names == REQUIRED[function]


def test_a_package_has_the_code_of_its_function_and_of_no_other() -> None:
    for function in FUNCTIONS:
        names = function_files(TREE, function)
        assert {name.split("/")[0] for name in names} == {"cloud_functions", "wire"}
        handlers = {name for name in names if name.endswith("/app.py")}
        assert handlers == {f"cloud_functions/{function}/app.py"}
        assert not [name for name in names if name.startswith("cloud_functions/adapters/parquet")] or (
            function in ("archive", "compaction")
        )


def test_two_packages_of_the_same_sources_have_the_same_bytes(tmp_path: Path) -> None:
    packed = [
        zip_folder(stage_functions(SOURCE_TREE, tmp_path / name)["ingest"], tmp_path / f"{name}.zip").read_bytes()
        for name in "ab"
    ]
    assert packed[0] == packed[1]


def test_a_package_that_was_there_is_replaced_whole(tmp_path: Path) -> None:
    old = tmp_path / "out" / "ingest" / "old.py"
    old.parent.mkdir(parents=True)
    old.write_text("")
    stage_functions(SOURCE_TREE, tmp_path / "out")
    assert not old.exists()
