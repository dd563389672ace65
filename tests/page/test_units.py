"""The unit tests of the page's pure parts, in Node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cloud_functions.dashboard import build
from cloud_functions.dashboard import page as built

FOLDER = Path(build.__file__).parent


def test_the_unit_tests_of_the_page_pass() -> None:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}{os.pathsep}{build.NODE_VENV / 'bin'}"}
    npm = shutil.which("npm", path=environment["PATH"])
    if npm is None or not (FOLDER / "node_modules" / "esbuild").is_dir():
        pytest.skip("npm or its packages are missing; `make page` installs them")
    run = subprocess.run(
        [npm, "test", "--silent"], cwd=FOLDER, capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stdout[-4_000:] + run.stderr[-2_000:]
    assert "# fail 0" in run.stdout


def test_a_page_that_is_not_built_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(built.PageMissingError, match="make page"):
        built.files(tmp_path)


def test_the_digest_follows_the_sources(tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json", "build.mjs", "tsconfig.json"):
        (tmp_path / name).write_text(name)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.tsx").write_text("1")
    first = build.digest(tmp_path)
    assert build.digest(tmp_path) == first
    (tmp_path / "src" / "main.tsx").write_text("2")
    assert build.digest(tmp_path) != first


def test_an_unchanged_page_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "src").mkdir()
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / ".inputs").write_text(build.digest(tmp_path))
    build.build(tmp_path)


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (FOLDER / "package-lock.json").read_text()


@pytest.mark.parametrize(("text", "major"), [("v20.11.1\n", 20), ("v8.0.0", 8), ("", 0), ("node: not found", 0)])
def test_the_version_of_node_is_read(text: str, major: int) -> None:
    assert build.node_version(text) == major


def test_the_policy_allows_the_own_origin_and_the_named_ones_only() -> None:
    policy = built.security_policy(["https://api.example"])
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "connect-src 'self' https://api.example;" in policy
    assert "unsafe" not in policy
