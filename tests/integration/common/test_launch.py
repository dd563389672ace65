"""A component waits for the shared environment, logs the reason, then becomes the component with the same pid."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from edge_components.common import launch
from edge_components.common.environment import FILE, Environment
from edge_components.common.errors import RuntimeEnvironmentError
from edge_components.common.requirements import parse

REPO = Path(__file__).parents[3]


def environment(**packages: str) -> Environment:
    return Environment(sys.executable, platform.python_version(), platform.machine(), packages)


def test_a_description_is_written_and_read_unchanged(tmp_path: Path) -> None:
    written = Environment(sys.executable, "3.11.2", "armv7l", {"numpy": "1.26.4"}, {"tflite-runtime==2.14.0": "none"})
    written.write(tmp_path)
    assert Environment.read(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "does not exist yet"),
        ("{", "environment.json: "),
        ("[]", "environment.json: "),
        ('{"python": 1, "version": "3", "machine": "", "packages": {}}', "must be strings"),
        ('{"python": "x", "version": "3", "machine": "", "packages": []}', "environment.json: "),
        ('{"python": "/absent/python3", "version": "3", "machine": "", "packages": {}}', "cannot be executed"),
    ],
)
def test_the_error_for_an_unusable_description_has_the_reason(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(RuntimeEnvironmentError, match=problem):
        Environment.read(tmp_path)


def test_an_environment_that_lacks_a_package_is_not_used(tmp_path: Path) -> None:
    environment(numpy="1.24.2").write(tmp_path)
    with pytest.raises(RuntimeEnvironmentError, match=r"lacks numpy>=1\.26, psutil$"):
        launch.usable_environment(tmp_path, parse("numpy>=1.26\npsutil\n"))
    environment(numpy="1.26.4", psutil="7.0").write(tmp_path)
    assert launch.usable_environment(tmp_path, parse("numpy>=1.26\npsutil\n")).python == sys.executable


def test_an_environment_of_another_python_is_not_used(tmp_path: Path) -> None:
    """An upgrade of the distribution replaces python3 under a virtual environment: its packages are not found."""
    Environment(sys.executable, "3.2.1", platform.machine(), {}).write(tmp_path)
    with pytest.raises(RuntimeEnvironmentError, match=r"was created for Python 3\.2\.1, python3 is now"):
        launch.usable_environment(tmp_path, [])


def test_waiting_is_logged_when_the_reason_changes_and_once_a_minute() -> None:
    seconds = [0.0]
    lines: list[str] = []

    def find() -> Environment:
        if seconds[0] >= 130:
            return environment()
        raise RuntimeEnvironmentError("it does not exist yet" if seconds[0] < 5 else "it lacks numpy")

    def sleep(pause: float) -> None:
        seconds[0] += pause

    assert launch.wait(find, lines.append, sleep, lambda: seconds[0]) == environment()
    assert lines == [
        "waiting for io.strandline.Runtime: it does not exist yet",
        *["waiting for io.strandline.Runtime: it lacks numpy"] * 3,
    ]


def test_the_process_becomes_the_component_when_the_environment_appears(tmp_path: Path) -> None:
    """Only the standard library is available while it waits, and the process id stays."""
    package = tmp_path / "code" / "edge_components"
    (package / "thing").mkdir(parents=True)
    for folder in (package, package / "thing"):
        (folder / "__init__.py").touch()
    (package / "thing" / "main.py").write_text(
        "import os, sys\nprint('component', os.getpid(), sys.argv[1:], os.getcwd())\n"
        "print(sys.flags.optimize, sys.dont_write_bytecode, sys.pycache_prefix)\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    runtime = tmp_path / "a runtime"
    runtime.mkdir()
    (package / "common").mkdir()
    for name in ("__init__", "launch", "environment", "requirements", "errors", "files"):
        (package / "common" / f"{name}.py").write_bytes((REPO / "edge_components/common" / f"{name}.py").read_bytes())
    (package / "thing" / "requirements.txt").write_text("numpy>=1\n")
    command = [sys.executable, "-S", "-m", "edge_components.common.launch"]
    with subprocess.Popen(
        [*command, "--runtime", str(runtime), "edge_components.thing.main"],
        env={"PYTHONPATH": f"/absent:{tmp_path / 'code'}", "PATH": os.environ["PATH"]},
        cwd=runtime,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "environment.json does not exist yet" in process.stdout.readline()
        environment(numpy="1.26.4").write(runtime)
        assert process.stdout.readline() == f"component {process.pid} [] {runtime}\n"
        assert process.stdout.readline() == f"2 False {Path(sys.executable).parents[1] / 'bytecode'}\n"
        assert process.stdout.readline() == "1\n"
        assert process.wait(60) == 0


def test_compiled_modules_are_kept_by_the_runtime_where_the_environment_is_the_system(tmp_path: Path) -> None:
    python = tmp_path / "usr" / "bin" / "python3"
    (tmp_path / "usr").mkdir()
    system = Environment(str(python), "3.11.2", "aarch64", {})
    assert system.variables(tmp_path)["PYTHONPYCACHEPREFIX"] == str(tmp_path / "bytecode")
    (tmp_path / "usr" / "pyvenv.cfg").touch()
    assert system.variables(tmp_path)["PYTHONPYCACHEPREFIX"] == str(tmp_path / "usr" / "bytecode")


def test_a_call_for_a_module_that_does_not_exist_ends_with_a_sentence(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "edge_components.common.launch",
        "--runtime",
        str(tmp_path),
        "edge_components.no.main",
    ]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == launch.EXIT_CONFIG
    assert "edge_components/no/requirements.txt" in done.stderr
    assert "Traceback" not in done.stderr
