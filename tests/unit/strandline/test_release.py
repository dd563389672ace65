"""The files of a release: changes of its version, dependencies and checksums."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from device_sim.paths import SOURCE_TREE
from edge_components.common.version import VERSION

CHANGELOG = "# Changelog\n\n## [0.2.0] - 2026-12-01\n\n### Added\n- b\n\n## 0.1.0\n- a\n"


def script() -> Any:
    spec = importlib.util.spec_from_file_location("release", SOURCE_TREE / ".ci/release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = script()


def test_the_changes_are_those_of_the_version() -> None:
    assert release.changes(CHANGELOG, "0.2.0") == "### Added\n- b\n"
    assert release.changes(CHANGELOG, "0.1.0") == "- a\n"


@pytest.mark.parametrize("version", ["0.1", "0.3.0"])
def test_a_version_without_changes_is_an_error(version: str) -> None:
    with pytest.raises(release.ReleaseError, match=f"no section '## {version}'"):
        release.changes(CHANGELOG, version)


def test_another_version_than_that_of_the_package_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(release.ReleaseError, match=f"that of the package is {VERSION}"):
        release.make("9.9.9", tmp_path)


def distribution(name: str, version: str, *requires: str) -> Any:
    return SimpleNamespace(metadata={"Name": name}, version=version, requires=list(requires))


def test_the_sbom_lists_dependencies_of_dependencies_once_and_no_other_package() -> None:
    found = release.sbom(
        "strandline",
        "0.1.0",
        [
            distribution(
                "strandline", "0.1.0", "numpy>=1", "rich", "pytest; extra == 'dev'", "boto3; extra == 'cloud'"
            ),
            distribution("numpy", "1.26.4"),
            distribution("rich", "13.0", "Markdown_It.py>=2", "numpy"),
            distribution("markdown-it-py", "3.0.0"),
            distribution("pytest", "8.0"),
            distribution("boto3", "1.40", "awscrt; extra == 'crt'"),
            distribution("awscrt", "0.3"),
        ],
    )
    assert [one["purl"] for one in found["components"]] == [
        "pkg:pypi/boto3@1.40",
        "pkg:pypi/markdown-it-py@3.0.0",
        "pkg:pypi/numpy@1.26.4",
        "pkg:pypi/rich@13.0",
    ]
    assert found["metadata"]["component"]["version"] == "0.1.0"
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")


def test_checksums_are_in_the_form_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(b"b")
    (tmp_path / "a.whl").write_bytes(b"a")
    (tmp_path / "SHA256SUMS").write_text("old")
    assert release.checksums(tmp_path).splitlines() == [
        f"{hashlib.sha256(b'a').hexdigest()}  a.whl",
        f"{hashlib.sha256(b'b').hexdigest()}  b.zip",
    ]
