"""Tests of the Lambda packages: contents, requirements, and the import of each handler from its package alone."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from device_sim.aws.package import function_files, functions, requirements, stage_functions, zip_folder
from device_sim.paths import SOURCE_TREE

FUNCTIONS = ("alerting", "api", "compaction", "forecast", "ingest")
RUNTIME = ("boto3",)
"""Requirements that the runtime of Lambda has."""
ALLOWED = {
    "alerting": {"aws_lambda_powertools", "boto3", "botocore"},
    "ingest": {"aws_lambda_powertools", "boto3", "botocore", "numpy"},
    "compaction": {"aws_lambda_powertools", "boto3", "botocore", "numpy", "pyarrow"},
    "api": {"aws_lambda_powertools", "boto3", "botocore", "numpy"},
    "forecast": {"aws_lambda_powertools", "boto3", "botocore", "numpy"},
}
"""Packages that each function may load, besides the dependencies of boto3 and of aws_lambda_powertools."""
SMALL = {"dateutil", "jmespath", "s3transfer", "six", "typing_extensions", "urllib3"}
LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


def environment(function: str) -> dict[str, str]:
    """Return the variables that the template gives to a function, with any values."""
    source = (SOURCE_TREE / "cloud_functions" / function / "app.py").read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    required = [c.args[0] for c in calls if ast.unparse(c.func) == "settings.text" and len(c.args) == 1]
    return {str(ast.literal_eval(name)): "x" for name in required} | {"AWS_DEFAULT_REGION": "us-east-1"}


def installed(lines: list[str]) -> set[str]:
    """Return the distributions that pip installs for requirements, among those of this environment."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in lines]
    while waiting:
        one = waiting.pop()
        if one.name in found or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(one.name)
        waiting += [Requirement(text) for text in metadata.distribution(one.name).requires or []]
    return found


def link(distributions: set[str], folder: Path) -> None:
    """Put the files of distributions into a folder, as `pip install --target` does."""
    folder.mkdir()
    for name in distributions:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution.locate_file(top))))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return stage_functions(SOURCE_TREE, tmp_path_factory.mktemp("packages") / "lambda")


def modules_of(loaded: list[str]) -> set[str]:
    """Return the top-level names of modules that come from distributions."""
    distributions = metadata.packages_distributions()
    tops = {name.split(".")[0] for name in loaded}
    return {top for top in tops if top in distributions} - {"cloud_functions", "wire", "strandline"}


def test_every_function_has_a_package() -> None:
    assert tuple(functions(SOURCE_TREE)) == FUNCTIONS == tuple(sorted(ALLOWED))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_is_imported_from_its_package_and_its_requirements_alone(
    packages: Mapping[str, Path], function: str, tmp_path: Path
) -> None:
    link(installed([*requirements(SOURCE_TREE, function), *RUNTIME]), tmp_path / "site")
    path = os.pathsep.join(map(str, (packages[function], tmp_path / "site")))
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", LOADED, f"cloud_functions.{function}.app"],
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], **environment(function)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert modules_of(json.loads(done.stdout)) <= ALLOWED[function] | SMALL


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_requires_the_packages_that_its_modules_can_import(function: str) -> None:
    names = {Requirement(line).name.replace("-", "_") for line in requirements(SOURCE_TREE, function)}
    assert names == ALLOWED[function] - {"boto3", "botocore"}


def test_a_package_has_the_code_of_its_function_and_of_no_other() -> None:
    for function in FUNCTIONS:
        names = function_files(SOURCE_TREE, function)
        assert {name.split("/")[0] for name in names} == {"cloud_functions", "wire"}
        handlers = {name for name in names if name.endswith("/app.py")}
        assert handlers == {f"cloud_functions/{function}/app.py"}
        assert not [name for name in names if name.startswith("cloud_functions/adapters/parquet")] or (
            function == "compaction"
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
