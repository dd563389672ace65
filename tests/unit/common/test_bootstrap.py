"""The install step uses the Python it has when that suffices, and says clearly when it cannot do its work."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from edge_components.common import bootstrap

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
    assert bootstrap.meets(version, spec) is met


def test_clauses_that_are_not_understood_are_refused() -> None:
    with pytest.raises(ValueError, match="~=1"):
        bootstrap.meets("1", "~=1.0")


@pytest.mark.parametrize(
    ("operator", "version", "holds"),
    [(None, None, True), ("<", "3.12", True), (">=", "3.12", False), (">=", "3.11", True), ("<", "3.11", False)],
)
def test_markers_choose_by_python(operator: str | None, version: str | None, holds: bool) -> None:
    assert bootstrap.applies(operator, version, (3, 11)) is holds


def test_what_is_missing_too_old_or_unreadable_is_told_apart() -> None:
    numpy = importlib.metadata.version("numpy")
    given = f"""
    # a comment
    numpy=={numpy}
    numpy>=999  # not yet
    no-such-package-anywhere>=1
    no-such-package-anywhere>=1; python_version < "3.0"
    """
    assert bootstrap.missing(given) == ["numpy>=999", "no-such-package-anywhere>=1"]
    with pytest.raises(ValueError, match="only =="):
        bootstrap.missing("numpy @ file:///x")
    with pytest.raises(ValueError, match="cannot read"):
        bootstrap.missing("@file")


def install(requirements: Path, work: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_components.common.bootstrap"]
    options = ["--requirements", str(requirements), "--work", str(work)]
    return subprocess.run([*command, *options], cwd=REPO, capture_output=True, text=True, timeout=60, check=False)


def test_a_python_that_has_all_is_used_as_it_is(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy>=1\n")
    assert install(requirements, tmp_path).returncode == 0
    assert not (tmp_path / "venv").exists()
    said = subprocess.run(
        [tmp_path / "python", "-c", "import sys; print(sys.argv[1])", "a b"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "a b\n"


@pytest.mark.parametrize("text", [None, "numpy @ file:///x\n"])
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path, text: str | None) -> None:
    requirements = tmp_path / "requirements.txt"
    if text is not None:
        requirements.write_text(text)
    done = install(requirements, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("install failed: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "python").exists()


def test_a_work_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy>=1\n")
    done = install(requirements, tmp_path / "absent")
    assert done.returncode == 1
    assert "absent" in done.stderr
