"""docs/check_language.py finds docstrings, comments, messages and names, and applies rules and exemptions to them."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHECKER = Path(__file__).resolve().parents[2] / "docs" / "check_language.py"

SOURCE = '''"""The module's docstring."""

import logging  # a comment at a line

MAX_WAIT = 3
"""An attribute's docstring."""

MARKER = b"no prose"
r"""A raw docstring after a string."""


def wait(seconds: int) -> str:
    """Wait."""
    # noqa: S101
    logging.info("a message with # and a "
                 f"second part {seconds}")
    return "two words" + \'it is "quoted" text\'
'''


@pytest.fixture(scope="module")
def checker() -> dict[str, Any]:
    """The names of the program."""
    return runpy.run_path(str(CHECKER))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one file of each type, all with the phrase "green tea"."""
    files = {
        "a.py": '"""Return green tea."""\n\n\n'
        'def green_tea() -> None:\n    """Do it."""  # green tea\n    print("green tea please")\n',
        "b.md": "Green tea and green tea.\n\n```\ngreen tea\n```\n`green tea`\n",
        "c.yaml": "key: green tea  # green tea\nDescription: green tea rows\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def rules(folder: Path, content: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(content)
    return path


def test_prose_of_a_python_file_is_found_with_kind_and_line(checker: dict[str, Any]) -> None:
    found = [(text.line, text.kind, text.prose) for text in checker["python_texts"]("a.py", SOURCE)]
    assert sorted(found) == [
        (1, "docstring", "The module's docstring."),
        (3, "comment", "a comment at a line"),
        (5, "identifier", "MAX WAIT"),
        (6, "docstring", "An attribute's docstring."),
        (8, "identifier", "MARKER"),
        (9, "docstring", "A raw docstring after a string."),
        (12, "identifier", "wait"),
        (13, "docstring", "Wait."),
        (15, "message", "a message with # and a second part {seconds}"),
        (17, "message", 'it is "quoted" text'),
    ]


def test_phrases_are_rejected_in_each_kind_of_file_but_not_in_code(checker: dict[str, Any], repository: Path) -> None:
    rule = "[[rule]]\npattern = '\\bgreen tea\\b'\nadvice = 'name the number'\n"
    assert checker["check"](repository, rules(repository, rule)) == [
        "a.py:1: 'green tea': name the number",
        "a.py:5: 'green tea': name the number",
        "a.py:6: 'green tea': name the number",
        "b.md:1: 'green tea': name the number",
        "c.yaml:1: 'green tea': name the number",
        "c.yaml:2: 'green tea': name the number",
    ]


def test_rule_for_names_is_applied_to_names_only(checker: dict[str, Any], repository: Path) -> None:
    rule = "[[rule]]\npattern = 'green tea'\nkinds = ['identifier']\nadvice = 'rename it'\n"
    assert checker["check"](repository, rules(repository, rule)) == ["a.py:4: 'green tea': rename it"]


def test_exemption_covers_its_files_and_is_rejected_if_unused(checker: dict[str, Any], repository: Path) -> None:
    rule = "[[rule]]\npattern = '\\bgreen tea\\b'\nkinds = ['page']\nadvice = 'name the number'\n"
    exemption = "[[exemption]]\nfiles = '*.{}'\nphrase = 'green tea'\nreason = 'a test'\n"
    assert checker["check"](repository, rules(repository, rule + exemption.format("md"))) == []
    assert checker["check"](repository, rules(repository, rule + exemption.format("py"))) == [
        "b.md:1: 'green tea': name the number",
        "rules.toml: the exemption of 'green tea' for *.py matches nothing",
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("[[rule]]\npattern = 'a'\nkinds = ['song']\nadvice = 'b'\n", "song"),
        ("rule = []\n[[exemption]]\nfiles = '*'\nphrase = 'a'\nreason = ''\n", "no reason"),
    ],
)
def test_invalid_rules_are_rejected(checker: dict[str, Any], tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        checker["load_rules"](rules(tmp_path, content))
