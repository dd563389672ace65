"""Tests of the documentation: links, the index of decisions, docstrings of packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "cloud_functions", "device_sim", "docs", "edge_components", "recipes", "tests", "wire")
FOUND = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
DOCUMENTS = sorted(path for path in FOUND if "node_modules" not in path.parts)
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_target_of_every_relative_link_exists(document: Path) -> None:
    broken = [link for link in _LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert broken == []


def test_the_index_of_decisions_is_complete() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    missing = [path.name for path in (ROOT / "docs/adr").glob("0*.md") if path.name not in index]
    assert missing == []


@pytest.mark.parametrize("folder", ["edge_components", "cloud_functions", "device_sim", "wire"])
def test_each_package_has_a_docstring(folder: str) -> None:
    missing = [
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("__init__.py")
        if not path.read_text().lstrip().startswith('"""')
    ]
    assert missing == []
