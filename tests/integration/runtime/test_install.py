"""The environment is used as it is found, or built beside the one before it, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge_components.common.environment import Environment
from edge_components.common.errors import RuntimeEnvironmentError
from edge_components.common.requirements import parse
from edge_components.runtime import install, packages

REPO = Path(__file__).parents[3]
ANY = "py3-none-any"


def wheel(folder: Path, name: str, version: str = "1.0", requires: str = "", tag: str = ANY) -> Path:
    """Write the wheel of a package with one module of its name."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        packed.writestr(f"{info}/METADATA", metadata)
        packed.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        packed.writestr(f"{info}/RECORD", "")
    return path


STAND_IN = """
import pathlib, sys, sysconfig, zipfile
at = sys.argv.index("--find-links") + 1
for text in sys.argv[at + 1:]:
    name, _, version = text.partition("==")
    found = sorted(pathlib.Path(sys.argv[at]).glob(f"{name}-{version or '*'}-*.whl"))
    if not found:
        sys.exit(f"No matching distribution found for {text}")
    zipfile.ZipFile(found[-1]).extractall(sysconfig.get_path("purelib"))
"""


def stand_in_pip(folder: Path, code: str = STAND_IN) -> None:
    """Write the wheel of a pip that unpacks wheels and resolves nothing; the real one takes seconds a call."""
    with zipfile.ZipFile(folder / f"pip-99.0-{ANY}.whl", "w") as packed:
        packed.writestr("pip/__main__.py", code)


class Gateway:
    """A work folder, requirements and wheels."""

    def __init__(self, folder: Path) -> None:
        self.work, self.wheels = folder / "a work folder", folder / "wheels"
        self.work.mkdir()
        self.wheels.mkdir()
        self.lines: list[str] = []
        self.required, self.optional = folder / "requirements.txt", folder / "requirements-optional.txt"
        self.required.write_text("numpy>=1\n")
        self.optional.write_text("")

    def ensure(self, with_wheels: bool = True) -> Environment:
        plan = install.Plan(self.required, self.optional, self.wheels if with_wheels else None)
        return install.ensure(self.work, plan, self.lines.append)

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.work.glob("env-*"))

    def module(self, name: str) -> str:
        code = f"import {name}; print({name}.VERSION)"
        return subprocess.run(
            [self.work / "python", "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()


@pytest.fixture
def with_real_pip(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


@pytest.fixture
def gateway(with_real_pip: Gateway) -> Gateway:
    stand_in_pip(with_real_pip.wheels)
    return with_real_pip


def test_a_python_that_has_all_packages_is_used_as_it_is(gateway: Gateway) -> None:
    found = gateway.ensure()
    assert found.python == sys.executable
    assert found.packages["numpy"]
    assert gateway.folders() == []
    assert Environment.read(gateway.work) == found
    done = subprocess.run(
        [gateway.work / "python", "-c", "import sys; print(sys.argv[1])", "a b"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a b\n"


def test_an_environment_is_made_from_the_wheels_alone(with_real_pip: Gateway) -> None:
    wheel(with_real_pip.wheels, "strandone", requires="strandtwo>=1")
    wheel(with_real_pip.wheels, "strandtwo")
    with_real_pip.required.write_text("strandone>=1\n")
    found = with_real_pip.ensure()
    assert found.packages == {"strandone": "1.0"}
    assert found.absent == {}
    assert with_real_pip.module("strandtwo") == "1.0"
    assert "lacks strandone>=1: building" in with_real_pip.lines[0]


def test_an_environment_that_works_is_not_built_again(gateway: Gateway) -> None:
    wheel(gateway.wheels, "strandone")
    gateway.required.write_text("strandone\n")
    first = gateway.ensure()
    mark = Path(first.python).parents[1] / "mark"
    mark.touch()
    assert gateway.ensure() == first
    assert mark.exists()


def test_a_damaged_environment_is_built_again(gateway: Gateway) -> None:
    wheel(gateway.wheels, "strandone")
    gateway.required.write_text("strandone\n")
    environment = Path(gateway.ensure().python).parents[1]
    (environment / "bin" / "python3").unlink()
    gateway.ensure()
    assert gateway.module("strandone") == "1.0"


def test_a_failed_build_leaves_the_environment_before_it_in_use_and_nothing_else(gateway: Gateway) -> None:
    wheel(gateway.wheels, "strandone")
    gateway.required.write_text("strandone\n")
    before, folders = gateway.ensure(), gateway.folders()
    gateway.required.write_text("strandone\nstrandabsent>=1\n")
    with pytest.raises(RuntimeEnvironmentError, match=r"strandabsent.*the artifact's wheels have for"):
        gateway.ensure()
    assert Environment.read(gateway.work) == before
    assert gateway.folders() == folders
    assert gateway.module("strandone") == "1.0"


def test_a_build_that_was_killed_is_repeated_and_its_rest_removed(gateway: Gateway) -> None:
    """The half-made environment of the earlier versions had no pip, and every retry failed with it."""
    wheel(gateway.wheels, "strandone")
    gateway.required.write_text("strandone\n")
    plan = install.Plan(gateway.required, gateway.optional, gateway.wheels)
    for name in (f"env-{plan.digest()}", "env-of-another-version"):
        (gateway.work / name / "bin").mkdir(parents=True)
        (gateway.work / name / "bin" / "python3").symlink_to(sys.executable)
    gateway.ensure()
    assert gateway.folders() == [f"env-{plan.digest()}"]
    assert gateway.module("strandone") == "1.0"


def test_the_environment_before_is_kept_for_the_components_that_still_run_in_it(gateway: Gateway) -> None:
    made = []
    for number, version in enumerate(("1.0", "2.0", "3.0")):
        wheel(gateway.wheels, "strandone", version)
        gateway.required.write_text(f"strandone=={version}\n")
        environment = Path(gateway.ensure().python).parents[1]
        os.utime(environment / install.COMPLETE, (number, number))
        gateway.ensure()  # the run step, which follows the install step
        made.append(environment.name)
    assert gateway.folders() == sorted(made[1:])
    assert gateway.module("strandone") == "3.0"


def test_a_rollback_uses_the_environment_before_and_installs_nothing(gateway: Gateway) -> None:
    made = []
    for version in ("1.0", "2.0"):
        wheel(gateway.wheels, "strandone", version)
    for version in ("1.0", "2.0"):
        gateway.required.write_text(f"strandone=={version}\n")
        made.append(gateway.ensure())
    for path in gateway.wheels.glob("pip-*"):
        path.write_bytes(b"not a pip: an installation would fail")
    gateway.required.write_text("strandone==1.0\n")
    assert gateway.ensure() == made[0]
    assert gateway.module("strandone") == "1.0"


def test_an_optional_package_that_cannot_be_had_is_reported_and_tried_again(gateway: Gateway) -> None:
    wheel(gateway.wheels, "strandone")
    gateway.required.write_text("strandone\n")
    gateway.optional.write_text("strandextra==2.0\n")
    found = gateway.ensure()
    assert list(found.absent) == ["strandextra==2.0"]
    assert "strandextra" in found.absent["strandextra==2.0"]
    assert any(line.startswith("strandextra==2.0 is not installed") for line in gateway.lines)
    wheel(gateway.wheels, "strandextra", "2.0")
    found = gateway.ensure()
    assert found.absent == {}
    assert found.packages == {"strandone": "1.0", "strandextra": "2.0"}


def test_packages_for_a_kind_of_source_are_added_to_the_environment_that_is_in_use(
    gateway: Gateway, tmp_path: Path
) -> None:
    wheel(gateway.wheels, "strandone")
    wheel(gateway.wheels, "strandbus")
    gateway.required.write_text("strandone\n")
    before = gateway.ensure()
    (tmp_path / "extra-bus.txt").write_text("strandbus\n")
    (tmp_path / "extra-other.txt").write_text("strandother>=1\nstrandbus\n")
    plan = install.Plan(
        gateway.required,
        gateway.optional,
        gateway.wheels,
        (tmp_path / "extra-bus.txt", tmp_path / "extra-other.txt"),
    )
    after = install.ensure(gateway.work, plan, gateway.lines.append)
    assert after.python == before.python
    assert after.packages == {"strandone": "1.0", "strandbus": "1.0"}
    assert list(after.absent) == ["strandother>=1"]
    assert gateway.module("strandbus") == "1.0"


def test_groups_of_packages_are_chosen_by_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_components.runtime.main", "--work", str(tmp_path), "--extras"]
    done = subprocess.run([*command, "modbus, opcau"], capture_output=True, text=True, cwd=REPO, check=True)
    assert "extras: 'opcau' is not allowed, expected none or any of archive, modbus, opcua, serial" in done.stdout
    assert Environment.read(tmp_path).packages["pymodbus"]


def test_an_optional_package_changes_no_version_that_is_required(with_real_pip: Gateway) -> None:
    for version in ("1.0", "2.0"):
        wheel(with_real_pip.wheels, "strandone", version)
    wheel(with_real_pip.wheels, "strandextra", requires="strandone>=2")
    with_real_pip.required.write_text("strandone<2\n")
    with_real_pip.optional.write_text("strandextra\n")
    found = with_real_pip.ensure()
    assert list(found.absent) == ["strandextra"]
    assert found.packages == {"strandone": "1.0"}


def test_a_package_that_is_installed_and_cannot_be_imported_is_an_error(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy needs a library of the system on some boards."""
    wheel(gateway.wheels, "strandone")
    gateway.required.write_text("strandone\n")
    monkeypatch.setitem(packages.MODULES, "strandone", "strandone.absent")
    with pytest.raises(RuntimeEnvironmentError, match=r"cannot import its packages: .*strandone\.absent"):
        gateway.ensure()
    assert gateway.folders() == []


def without_pip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide pip and ensurepip from the processes that are started, as on a system without python3-venv."""
    for name in ("pip", "ensurepip"):
        (folder / "hidden" / name).mkdir(parents=True)
        (folder / "hidden" / name / "__init__.py").write_text("raise ImportError('hidden')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder / "hidden"))


def test_the_error_without_pip_names_the_package_to_install(
    with_real_pip: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pip(tmp_path, monkeypatch)
    with_real_pip.required.write_text("strandone\n")
    for _ in range(2):  # the second attempt finds no half-made environment and reports the same
        with pytest.raises(RuntimeEnvironmentError, match="sudo apt-get install python3-venv"):
            with_real_pip.ensure()
        assert with_real_pip.folders() == []


def test_pip_in_the_artifact_serves_a_system_without_one(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pip(tmp_path, monkeypatch)
    stand_in_pip(gateway.wheels, "import sys; print('this pip was asked:', sys.argv[1]); sys.exit(3)\n")
    with pytest.raises(RuntimeEnvironmentError, match="this pip was asked: install"):
        packages.Installer.find(sys.executable, gateway.wheels).install(parse("strandone"))


def command(gateway: Gateway, work: Path) -> subprocess.CompletedProcess[str]:
    options = ["--work", str(work), "--requirements", str(gateway.required), "--optional", str(gateway.optional)]
    line = [sys.executable, "-m", "edge_components.runtime.main", *options, "--wheels", str(gateway.wheels)]
    return subprocess.run(line, cwd=REPO, capture_output=True, text=True, timeout=60, check=False)


def test_the_step_prints_the_environment(gateway: Gateway) -> None:
    done = command(gateway, gateway.work)
    assert done.returncode == 0, done.stderr
    assert f"{sys.executable}: Python 3." in done.stdout
    assert "numpy" in done.stdout


@pytest.mark.parametrize("text", [None, "numpy @ file:///x\n"])
def test_bad_requirements_are_one_sentence(gateway: Gateway, text: str | None) -> None:
    gateway.required.unlink()
    if text is not None:
        gateway.required.write_text(text)
    done = command(gateway, gateway.work)
    assert done.returncode == 1
    assert done.stderr.startswith("install failed: ")
    assert "Traceback" not in done.stderr
    assert not (gateway.work / "python").exists()


def test_a_work_folder_that_cannot_be_written_is_one_sentence(gateway: Gateway) -> None:
    done = command(gateway, gateway.work / "absent")
    assert done.returncode == 1
    assert "absent" in done.stderr
    assert "Traceback" not in done.stderr


def test_compiled_modules_of_a_removed_component_are_removed(gateway: Gateway) -> None:
    wheel(gateway.wheels, "strandone")
    gateway.required.write_text("strandone\n")
    bytecode = Path(gateway.ensure().variables(gateway.work)["PYTHONPYCACHEPREFIX"])
    present = gateway.work / "component"
    present.mkdir()
    for source in (present, gateway.work / "removed"):
        compiled = bytecode / source.relative_to("/")
        compiled.mkdir(parents=True)
        (compiled / "main.cpython-311.opt-2.pyc").touch()
    gateway.ensure()
    assert (bytecode / present.relative_to("/")).exists()
    assert not (bytecode / (gateway.work / "removed").relative_to("/")).exists()
