"""Tests of the documentation: links, the index of decisions, docstrings of packages."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "benchmarks", "cloud_functions", "device_sim", "docs", "edge_components", "recipes", "strandline", "tests", "wire",
)  # fmt: skip
FOUND = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
DOCUMENTS = sorted(path for path in FOUND if "node_modules" not in path.parts)
GENERATED = {"cloud_functions/dashboard/dist"}
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_target_of_every_relative_link_exists(document: Path) -> None:
    broken = [link for link in _LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert broken == []


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a document."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.*?) *$", prose, re.M)
    return {re.sub(r" ", "-", re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())) for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_heading_of_every_link_with_an_anchor_exists(document: Path) -> None:
    text = document.read_text()
    broken = []
    for path, anchor in re.findall(r"\]\((?!https?://|mailto:)([^)#]*)#([^)]+)\)", text):
        target = document.parent / path if path else document
        if target.suffix == ".md" and target.exists() and anchor not in anchors(target.read_text()):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def test_anchors_are_made_of_headings_outside_of_blocks() -> None:
    assert anchors("# A `key`, and more\n```sh\n# not this\n```\n## 1. The cloud\n") == {
        "a-key-and-more",
        "1-the-cloud",
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_named_test_and_every_path_of_the_repository_exists(document: Path) -> None:
    text = document.read_text()
    names = set(re.findall(r"\btest_\w+\b", text))
    paths = set(
        re.findall(r"`((?:benchmarks|cloud_functions|device_sim|docs|edge_components|tests)/[\w./-]+\w)`", text)
    )
    assert sorted(names - names_of_tests()) == []
    missing = {path for path in paths if not (ROOT / path).exists()} - GENERATED
    # The records of decisions describe the code of their time.
    assert sorted(missing) == [] or "adr" in document.parts


@functools.cache
def names_of_tests() -> set[str]:
    """Return the names of all test functions and test files."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    functions = {name for path in files for name in re.findall(r"def (test_\w+)\(", path.read_text())}
    return functions | {path.stem for path in files}


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
