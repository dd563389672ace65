"""Tests of the commands in the documentation: programs, subcommands and options exist, others have a mark.

A block ``sh`` has only commands of this repository, which are checked here, or the line before it is a mark:
``<!-- needs: AWS -->``, ``<!-- needs: gateway -->`` or ``<!-- needs: system -->``. Commands of ``strandline`` are
checked in marked blocks and in the text, too.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from strandline.cli import make_app

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "cloud_functions", "device_sim", "docs", "edge_components", "examples", "strandline", "wire")
FOUND = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
DOCUMENTS = sorted(
    path for path in FOUND if not {"node_modules", "adr"} & set(path.parts) and path.name != "CHANGELOG.md"
)
NEEDS = ("AWS", "gateway", "system")
_BLOCK = re.compile(r"(?:^<!-- needs: (?P<needs>[\w ]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.M | re.S)
_INLINE = re.compile(r"`((?:\.venv/bin/)?strandline [^`]*)`", re.S)
_OPTION = re.compile(r"(?<![\w-])--[a-z][A-Za-z0-9-]*")
_MAKE = {
    name for line in re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M) for name in line.split()
}


@functools.cache
def top() -> Any:
    return typer.main.get_command(make_app())


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
        elif block["kind"] in ("sh", "shell", "bash"):
            problems += unmarked(block["text"])
    assert problems == []


def test_an_unknown_command_and_an_unknown_option_are_found() -> None:
    assert list(problems_of("strandline buidl")) == ["strandline buidl: there is not a command buidl"]
    assert list(problems_of("strandline build --nucleus lite --fast")) == [
        "strandline build --nucleus lite --fast: build has not the option --fast"
    ]
    assert list(unmarked("make demos")) == ["make demos: make has not the target demos"]
    assert list(unmarked("sam deploy")) == ["sam deploy: sam is not a command of this repository"]
