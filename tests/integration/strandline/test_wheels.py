"""Tests of wheel selection: closed under dependencies, with an error for each unmet requirement."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from device_sim.errors import BuildError
from strandline.packaging.wheels import PipDownload, Target, collect, merged

PI = Target("3.11", "armv7l")
NEW = Target("3.13", "aarch64")


class Index:
    """Wheels by name, newest first, as pip would choose them; written when they are fetched."""

    def __init__(self, folder: Path, **packages: dict[str, list[str]]) -> None:
        self._folder, self._packages = folder, packages
        self.asked: list[str] = []

    def __call__(self, requirement: str, target: Target) -> Path | None:
        from packaging.requirements import Requirement

        self.asked.append(requirement)
        one = Requirement(requirement)
        for version, requires in self._packages.get(one.name.replace("-", "_"), {}).items():
            if one.specifier.contains(version):
                path = self._folder / f"{one.name.replace('-', '_')}-{version}-py3-none-any.whl"
                with zipfile.ZipFile(path, "w") as packed:
                    lines = "".join(f"Requires-Dist: {line}\n" for line in requires)
                    packed.writestr("x-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {one.name}\n{lines}")
                return path
        return None


def names(wheels: dict[str, Path]) -> list[str]:
    return sorted(name.removesuffix("-py3-none-any.whl") for name in wheels)


def test_dependencies_are_followed_by_the_target_s_markers(tmp_path: Path) -> None:
    """pip itself evaluates them for the Python that it runs in."""
    requires = ["b>=1", 'old; python_version < "3.12"', 'arm; platform_machine == "aarch64"', 'x; extra == "test"']
    index = Index(
        tmp_path, pip={"25.0": []}, a={"1.0": requires}, b={"2.0": ["c"]}, c={"1": []}, old={"1": []}, arm={"1": []}
    )
    assert names(collect(PI, "a\n", "", index).wheels) == ["a-1.0", "b-2.0", "c-1", "old-1", "pip-25.0"]
    assert names(collect(NEW, "a\n", "", index).wheels) == ["a-1.0", "arm-1", "b-2.0", "c-1", "pip-25.0"]


def test_a_dependency_constrains_a_package_selected_before(tmp_path: Path) -> None:
    index = Index(tmp_path, pip={"25.0": []}, numpy={"2.1": [], "1.26": []}, a={"1.0": ["numpy<2"]})
    assert names(collect(PI, "numpy>=1\na\n", "", index).wheels) == ["a-1.0", "numpy-1.26", "pip-25.0"]


def test_a_required_package_without_a_wheel_is_named_and_the_others_are_there(tmp_path: Path) -> None:
    index = Index(tmp_path, pip={"25.0": []}, sdk={"1.0": ["native==0.36.1"]})
    found = collect(PI, "sdk\nnumpy>=2\n", "", index)
    assert found.missing == ["numpy>=2", "native==0.36.1"]
    assert names(found.wheels) == ["pip-25.0", "sdk-1.0"]
    assert found.size == sum(path.stat().st_size for path in found.wheels.values())


def test_an_optional_package_is_included_with_all_dependencies_or_omitted(tmp_path: Path) -> None:
    index = Index(tmp_path, pip={"25.0": []}, sdk={"1.0": []}, tflite={"2.14": ["native"]}, small={"1": []})
    found = collect(PI, "sdk\n", "tflite\nsmall\n", index)
    assert found.missing == []
    assert found.missing_optional == ["tflite"]
    assert names(found.wheels) == ["pip-25.0", "sdk-1.0", "small-1"]


def test_optional_packages_are_resolved_together(tmp_path: Path) -> None:
    index = Index(
        tmp_path, pip={"25.0": []}, sdk={"1.0": []}, modbus={"3": ["wire<2"]}, opcua={"1": []}, wire={"2": [], "1": []}
    )
    found = collect(PI, "sdk\n", "modbus\nopcua\nwire\n", index)
    assert names(found.wheels) == ["modbus-3", "opcua-1", "pip-25.0", "sdk-1.0", "wire-1"]


def test_requirements_are_those_for_the_target_s_python(tmp_path: Path) -> None:
    text = 'numpy<2; python_version < "3.12"\nnumpy>=2; python_version >= "3.12"\n'
    index = Index(tmp_path, pip={"25.0": []}, numpy={"2.1": [], "1.26": []})
    both = [collect(target, text, "", index) for target in (PI, NEW)]
    assert names(dict(merged(both))) == ["numpy-1.26", "numpy-2.1", "pip-25.0"]


def test_the_tags_are_those_of_the_distribution_s_c_library() -> None:
    assert PI.platforms[0] == "manylinux_2_36_armv7l"
    assert "manylinux_2_41_armv7l" not in PI.platforms
    assert NEW.platforms[0] == "manylinux_2_41_aarch64"
    assert {"manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"} <= set(NEW.platforms)


def test_a_missing_folder_of_wheels_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"--wheels .*absent: not a folder"):
        PipDownload(tmp_path, tmp_path / "absent", print)


def test_pip_uses_the_users_wheels_for_another_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    mine = tmp_path / "mine"
    mine.mkdir()
    name = "strandnative-1.0-cp311-cp311-linux_armv7l.whl"
    with zipfile.ZipFile(mine / name, "w") as packed:
        packed.writestr(
            "strandnative-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: strandnative\nVersion: 1.0\n"
        )
        packed.writestr("strandnative-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-linux_armv7l\n")
    lines: list[str] = []
    fetch = PipDownload(tmp_path / "out", mine, lines.append)
    assert fetch("strandnative", PI) == tmp_path / "out" / name
    assert fetch("strandnative", NEW) is None
    assert lines == ["Python 3.13 on aarch64: no wheel for strandnative"]
