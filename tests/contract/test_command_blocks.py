"""Tests of the blocks in the documentation: commands exist and are run by a test, or have a mark; data can be read.

A block ``sh`` has only commands of this repository, which are checked here and run by the test that RUN_BY names, or
the line before it is a mark: ``<!-- needs: AWS -->``, ``<!-- needs: gateway -->`` or ``<!-- needs: system -->``.
Commands of ``strandline`` are checked in marked blocks and in the text, too. Every block names its language.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_line import app, root

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "cloud_functions", "device_sim", "docs", "edge_components", "examples", "strandline", "wire")
FOUND = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
DOCUMENTS = sorted(
    path for path in FOUND if not {"node_modules", "adr"} & set(path.parts) and path.name != "CHANGELOG.md"
)
NEEDS = ("AWS", "gateway", "system")
KINDS = ("sh", "json", "yaml", "python", "mermaid", "sql", "text")
SHELLS = ("sh", "shell", "bash", "console")
_BLOCK = re.compile(r"(?:^<!-- needs: (?P<needs>[\w ]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.M | re.S)
_FENCE = re.compile(r"^\s*(?:```|~~~)", re.M)
COMMAND_TESTS = "tests/integration/strandline/test_commands.py"
RUN_BY = {
    "make demo": ("tests/e2e/test_demo.py", '"demo"'),
    "make test": (".ci/run", "make check test"),
    "make check": (".ci/run", "make check test"),
    "make format": ("Makefile", "ruff format --check"),  # a part of make check
    "make page": ("Makefile", "test: $(VENV)/.ready page"),
    "make install": ("Makefile", "demo: install"),
    "python benchmarks/edge.py": (
        "tests/integration/benchmarks/test_edge_figures.py",
        "from benchmarks.edge_run import main",
    ),
    "python cloud_functions.dashboard.build": ("Makefile", "-m cloud_functions.dashboard.build"),
    "python docs/examples/pump-station/history.py": ("tests/integration/test_worked_examples.py", "history().main("),
    "python pytest": (".ci/run", "make check test"),
    "python tests.fuzz.run": ("tests/fuzz/test_targets.py", "run.main()"),
    "strandline build": (COMMAND_TESTS, '"build"'),
    "strandline chaos": ("tests/chaos/test_short.py", "chaos"),
    "strandline detect": ("tests/integration/strandline/test_package.py", '"detect"'),
    "strandline doctor": ("tests/integration/strandline/test_doctor.py", '"doctor"'),
    "strandline forecast": (COMMAND_TESTS, '"forecast"'),
    "strandline alerts": ("tests/unit/strandline/test_api_commands.py", '"alerts"'),
    "strandline rules": ("tests/unit/strandline/test_api_commands.py", '"rules"'),
    "strandline series": ("tests/unit/strandline/test_api_commands.py", '"series"'),
    "strandline source": (COMMAND_TESTS, '"source"'),
    "strandline train": ("tests/integration/strandline/test_training.py", '"train"'),
    "strandline up": ("tests/e2e/test_up.py", '"up"'),
}
"""The test or check that runs a command of the form of `key`, and a text in it that shows this."""

_INLINE = re.compile(r"`((?:\.venv/bin/)?strandline [^`]*)`", re.S)
_OPTION = re.compile(r"(?<![\w-])--[a-z][A-Za-z0-9-]*")
_MAKE = {
    name for line in re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M) for name in line.split()
}


def top() -> Any:
    return root(app())


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the words name, and the words behind its name."""
    command = top()
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options_of(command: Any, *, nested: bool) -> set[str]:
    """Return the options of a command, on request with those of the commands in it."""
    found = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for one in getattr(command, "commands", {}).values() if nested else ():
        found |= options_of(one, nested=True)
    return found


def problems_of(line: str) -> Iterator[str]:
    """Yield the faults of one command line of ``strandline``."""
    words = line.split()[1:]
    command, rest = resolve(words)
    if command is top() and words and words[0][:1].isalpha() and words[0].islower():
        yield f"{line}: there is not a command {words[0]}"
        return
    # A synopsis lists several commands of a group in a line.
    known = {"--help"} | options_of(top().commands[words[0]] if "|" in rest else command, nested="|" in rest)
    for option in _OPTION.findall(" ".join(rest)):
        if option not in known:
            yield f"{line}: {command.name} has not the option {option}"


def strandline_lines(text: str) -> Iterator[str]:
    """Yield the command lines of ``strandline`` in the text of a block."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|;|\||(?<!-)>", re.sub(r"\s#.*", "", line)) if " | " not in line else [line]:
            found = re.match(r"\s*(?:\.venv/bin/)?(strandline\s.*)", part)
            if found:
                yield found[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_option_of_strandline_exists(document: Path) -> None:
    text = document.read_text()
    lines = [line for block in _BLOCK.finditer(text) for line in strandline_lines(block["text"])]
    prose = _BLOCK.sub("", text)
    lines += [f"strandline {match[1].split('strandline ', 1)[1]}" for match in _INLINE.finditer(prose)]
    assert [problem for line in lines for problem in problems_of(" ".join(line.split()))] == []


def unmarked(text: str) -> Iterator[str]:
    """Yield what a block without a mark must not have: a command that is not checked."""
    pending = ""
    for part in text.replace("\\\n", " ").splitlines():
        line = f"{pending}\n{part}".strip()
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a text in quotes over several lines
            pending = line
            continue
        pending = ""
        for command in _commands(words):
            yield from _command_problems(line, command)
    if pending:
        yield f"{pending}: a quotation is not closed"


def _commands(words: list[str]) -> Iterator[list[str]]:
    """Yield the commands of a line, without variables that are set for them."""
    command: list[str] = []
    for word in [*words, "&&"]:
        if word in ("&&", "||", "|", ";"):
            yield command
            command = []
        elif command or not re.fullmatch(r"[A-Z_]+=.*", word):
            command.append(word)


def _command_problems(line: str, words: list[str]) -> Iterator[str]:
    if not words or words[0].removeprefix(".venv/bin/") == "strandline":
        return
    if words[0] == "make":
        yield from (f"{line}: make has not the target {one}" for one in words[1:] if _is_target(one))
    elif re.fullmatch(r"(\.venv/bin/)?python3?", words[0]):
        yield from _python_problems(line, words[1:])
    else:
        yield f"{line}: {words[0]} is not a command of this repository"


def _is_target(word: str) -> bool:
    return "=" not in word and word not in _MAKE


def _python_problems(line: str, words: list[str]) -> Iterator[str]:
    if words[:1] == ["-c"] or words[:2] in (["-m", "pip"], ["-m", "pytest"]):
        return
    name = words[1].replace(".", "/") + ".py" if words[:1] == ["-m"] else words[0]
    if not (ROOT / name).is_file():
        yield f"{line}: {name} does not exist"
        return
    source = "".join(path.read_text() for path in (ROOT / name).parent.glob("*.py"))
    yield from (f"{line}: {name} has not the option {one}" for one in _OPTION.findall(line) if one[2:] not in source)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_block_has_checked_commands_or_a_mark(document: Path) -> None:
    problems = []
    for block in _BLOCK.finditer(document.read_text()):
        if block["needs"] is not None:
            problems += [] if block["needs"] in NEEDS else [f"unknown mark {block['needs']}"]
        elif block["kind"] in SHELLS:
            problems += unmarked(block["text"])
    assert problems == []


def key(words: list[str]) -> str:
    """Return program and subcommand of a command in the form of RUN_BY, empty for one that runs nothing."""
    program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    if program in ("python", "python3"):
        if rest[:1] == ["-c"] or rest[:2] == ["-m", "pip"]:
            return ""
        return f"python {rest[1] if rest[0] == '-m' else rest[0]}"
    return f"{program} {rest[0]}" if rest and not rest[0].startswith("-") else ""


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the commands of an unmarked block."""
    words = shlex.split(text.replace("\\\n", " ").replace("\n", " ; "), comments=False)
    yield from (command for command in _commands(words) if command)


def test_every_command_without_a_mark_is_run_by_a_test() -> None:
    missing, used = [], set()
    for document in DOCUMENTS:
        for block in _BLOCK.finditer(document.read_text()):
            if block["needs"] is None and block["kind"] in SHELLS:
                text = re.sub(r"(^|\s)#.*", "", block["text"])
                used |= (found := {key(command) for command in commands_of(text)} - {""})
                missing += [f"{document.relative_to(ROOT)}: {one}" for one in sorted(found) if one not in RUN_BY]
    assert missing == []
    assert used == set(RUN_BY)
    assert [name for name, (path, text) in RUN_BY.items() if text not in (ROOT / path).read_text()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_names_its_language_and_its_content_can_be_read(document: Path) -> None:
    text = document.read_text()
    blocks = list(_BLOCK.finditer(text))
    assert 2 * len(blocks) == len(_FENCE.findall(text)), "a block is indented, or not closed"
    assert sorted({block["kind"] for block in blocks} - set(KINDS)) == []
    for block in blocks:
        if block["kind"] == "json":
            json.loads(block["text"])
        elif block["kind"] == "yaml":
            assert yaml.safe_load(block["text"])
        elif block["kind"] == "python":
            compile(block["text"], str(document), "exec")


def test_an_unknown_command_and_an_unknown_option_are_found() -> None:
    assert list(problems_of("strandline buidl")) == ["strandline buidl: there is not a command buidl"]
    assert list(problems_of("strandline build --nucleus lite --fast")) == [
        "strandline build --nucleus lite --fast: build has not the option --fast"
    ]
    assert list(unmarked("make demos")) == ["make demos: make has not the target demos"]
    assert list(unmarked("sam deploy")) == ["sam deploy: sam is not a command of this repository"]
