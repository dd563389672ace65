"""The command line in an environment without the optional packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from strandline.extras import install_command, missing_package

PROGRAM = """
import builtins, contextlib, io, json, sys

ABSENT = ("awscrt", "awsiot", "boto3", "botocore", "cryptography", "iotcore", "ministack", "paho", "psutil", "tflite")
real = builtins.__import__

def without(name, *args, **kwargs):
    if name.split(".")[0] in ABSENT:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, *args, **kwargs)

builtins.__import__ = without
from strandline.cli import main

results = []
for arguments in json.load(sys.stdin):
    sys.argv, code, errors = ["strandline", *arguments], 0, io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    results.append((code, errors.getvalue()))
print(json.dumps(results))
"""
INDEPENDENT = (["--help"], ["demo", "--help"], ["cost"], ["build"])
DEPENDENT = {"alerts": "cloud", "gateways": "cloud", "sim": "sim", "demo": "sim", "chaos": "sim"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Return exit code and standard error of each command."""
    folder = tmp_path_factory.mktemp("run")
    commands = [*INDEPENDENT, *([name] for name in DEPENDENT)]
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(commands),
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = [(code, errors) for code, errors in json.loads(done.stdout)]
    return dict(zip((" ".join(arguments) for arguments in commands), found, strict=True))


@pytest.mark.parametrize("command", [" ".join(arguments) for arguments in INDEPENDENT])
def test_a_command_that_needs_no_extra_works(results: dict[str, tuple[int, str]], command: str) -> None:
    assert results[command] == (0, "")


@pytest.mark.parametrize(("command", "extra"), DEPENDENT.items())
def test_one_line_names_the_package_and_the_extra(
    results: dict[str, tuple[int, str]], command: str, extra: str
) -> None:
    code, errors = results[command]
    assert code == 1
    assert errors.startswith(f"strandline: {command} needs the package ")
    assert errors.endswith(f"which is not installed: pip install 'strandline[{extra}]'\n")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "extra"),
    [("tensorflow.python", "train-tensorflow"), ("keras", "train-tensorflow"), ("tflite", "train"), ("PIL", "plot")],
)
def test_the_extra_of_a_module_is_found_by_its_package(module: str, extra: str) -> None:
    assert f"strandline[{extra}]" in str(missing_package(module, "train"))


def test_a_module_of_no_extra_is_not_explained() -> None:
    assert missing_package("device_sim.aws.cost", "cost") is None


def test_the_command_for_an_extra_names_a_wheel_that_still_exists(tmp_path: Path) -> None:
    wheel = tmp_path / "a wheel.whl"
    origin, environment = json.dumps({"url": wheel.as_uri(), "archive_info": {}}), Path("/srv/venv")
    assert install_command("sim", origin, environment) == "pip install 'strandline[sim]'"
    wheel.touch()
    assert install_command("sim", origin, environment) == f"pip install 'strandline[sim] @ {wheel.as_uri()}'"
    assert install_command("sim", None, environment) == "pip install 'strandline[sim]'"


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ("/home/ada/.local/share/pipx/venvs/strandline", "pipx runpip strandline install 'strandline[sim]'"),
        ("/home/ada/.local/share/uv/tools/strandline", "uv tool install --force 'strandline[sim]'"),
        ("/home/ada/.cache/uv/archive-v0/aB3", "uvx --from 'strandline[sim]' strandline"),
    ],
)
def test_the_command_for_an_extra_is_that_of_the_tool_which_made_the_environment(
    environment: str, command: str
) -> None:
    assert install_command("sim", None, Path(environment)) == command
