"""A copy of the sources from which a wheel can be built without changes to the checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

from cloud_functions.dashboard.page import DIST
from device_sim.paths import SOURCE_TREE

PARTS = ("wire", "edge_components", "cloud_functions", "device_sim", "strandline", "recipes")
FILES = ("pyproject.toml", "README.md", "LICENSE")
IGNORED = shutil.ignore_patterns("__pycache__", "node_modules", "*.egg-info")


def copy_sources(target: Path, mode: int = 0o644) -> Path:
    """Copy the sources of the wheel and return the copy; where the page is not built, it has a page of one file.

    All files have the given mode.
    """
    for part in PARTS:
        shutil.copytree(SOURCE_TREE / part, target / part, ignore=IGNORED)
    for file in FILES:
        shutil.copyfile(SOURCE_TREE / file, target / file)
    page = target / DIST.relative_to(SOURCE_TREE)
    if not (page / "index.html").is_file():
        page.mkdir()
        (page / "index.html").write_text("<!doctype html>\n")
    for path in target.rglob("*"):
        if path.is_file():
            path.chmod(mode)
    return target
