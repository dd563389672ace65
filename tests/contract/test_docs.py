"""The documents hold what they promise: links lead somewhere, and nothing is left out of an index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("benchmarks", "cloud_functions", "device_sim", "docs", "edge_components", "recipes", "tests", "wire")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.md"))])
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    broken = [link for link in _LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert broken == []


def test_the_index_of_decisions_names_each_one() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    missing = [path.name for path in (ROOT / "docs/adr").glob("0*.md") if path.name not in index]
    assert missing == []


@pytest.mark.parametrize("room", ["edge_components", "cloud_functions", "device_sim", "wire"])
def test_each_package_begins_with_its_place_in_the_flow(room: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / room).rglob("__init__.py")
        if not path.read_text().lstrip().startswith('"""')
    ]
    assert silent == []
