"""Files that a wheel contains beside the modules, by the settings of setuptools in pyproject.toml."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]


@pytest.mark.parametrize("path", ["cloud_functions/costs/measured.json", "cloud_functions/api/openapi.json"])
def test_a_wheel_contains_the_data_that_commands_and_functions_read(path: str) -> None:
    file = REPO / path
    package, found = ".".join(Path(path).parent.parts), SETTINGS["packages"]["find"]
    assert file.is_file()
    assert (file.parent / "__init__.py").is_file()
    assert any(fnmatchcase(package, pattern) for pattern in found["include"])
    assert not any(fnmatchcase(package, pattern) for pattern in found["exclude"])
    assert any(fnmatchcase(file.name, pattern) for pattern in SETTINGS["package-data"]["*"])
