"""The wheel of this distribution, built once for the tests of its content, its installation and its release."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.strandline.source_copy import copy_sources

EPOCH = "315532800"
"""Time of the files in the wheel, that of the release."""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from a copy of the sources that a whole group may write to, without a warning."""
    folder = tmp_path_factory.mktemp("package")
    sources = copy_sources(folder / "sources", 0o664)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(sources)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built
