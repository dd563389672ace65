"""Requirements are compared with what is installed, and a line that is not understood is an error that names it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_components.common.errors import RequirementError
from edge_components.common.requirements import applies, installed, lacking, meets, normalised, parse

REPO = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("version", "spec", "met"),
    [
        ("1.31.0", "==1.31.0", True),
        ("1.31", "==1.31.0", True),
        ("1.31.1", "==1.31.0", False),
        ("2.1", ">=2.1,<3", True),
        ("3.0", ">=2.1,<3", False),
        ("2.10", ">=2.9", True),
        ("1.26.4", ">=1.26,<2", True),
        ("1.26.4+local", "<=1.26.4", True),
        ("2", ">1.9", True),
        ("0.9", "", True),
    ],
)
def test_versions_are_compared_by_number(version: str, spec: str, met: bool) -> None:
    assert meets(version, spec) is met


@pytest.mark.parametrize(
    ("operator", "version", "holds"),
    [(None, None, True), ("<", "3.12", True), (">=", "3.12", False), (">=", "3.11", True), ("<", "3.11", False)],
)
def test_markers_choose_by_python(operator: str | None, version: str | None, holds: bool) -> None:
    assert applies(operator, version, (3, 11)) is holds


def test_lines_are_read_for_one_version_of_python() -> None:
    text = '# a comment\nnumpy>=1.26,<2; python_version < "3.12"\nnumpy>=2; python_version >= "3.12"  # newer\n'
    assert [one.text for one in parse(text, (3, 11))] == ["numpy>=1.26,<2"]
    assert [one.text for one in parse(text, (3, 13))] == ["numpy>=2"]


def test_an_absent_or_old_package_is_lacking() -> None:
    versions = {"numpy": "1.24.2", "psutil": "7.0"}
    wanted = parse("numpy>=1.26\npsutil>=6,<8\nawsiotsdk==1.31.0\n")
    assert [one.text for one in lacking(wanted, versions.get)] == ["numpy>=1.26", "awsiotsdk==1.31.0"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("numpy @ file:///x", "only =="),
        ("numpy~=1.0", "~=1"),
        ("@file", "cannot read '@file'"),
        ("-r other", "'other'"),
    ],
)
def test_an_invalid_line_is_rejected(line: str, problem: str) -> None:
    with pytest.raises(RequirementError, match=problem):
        parse(line)


def test_installed_packages_are_those_of_the_running_python() -> None:
    assert installed("numpy") is not None
    assert installed("no-such-package-anywhere") is None
    assert normalised("Paho_MQTT") == "paho-mqtt"


def test_the_command_prints_the_packages_that_the_files_name(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("numpy>=1\nno-such-package-anywhere\n")
    command = [sys.executable, "-m", "edge_components.common.requirements", str(file)]
    found = json.loads(subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout)
    assert found["packages"] == {"numpy": installed("numpy")}
    assert found["version"].startswith("3.")
