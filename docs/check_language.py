"""Check that docstrings, comments, messages, names and Markdown pages use plain technical English.

Run as ``python docs/check_language.py`` (part of ``make check``). The rules are in ``docs/language.toml``, with the
exemptions, each with its reason. An exemption that matches nothing is an error, too. The exit code is 1 when there are
findings.

Python files are read with a small lexer, not with :mod:`ast`, which takes several times as long.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

RULES = Path(__file__).with_name("language.toml")

Kind = Literal["docstring", "comment", "message", "identifier", "page"]
KINDS: tuple[Kind, ...] = ("docstring", "comment", "message", "identifier", "page")
MIN_WORDS = 3
"""Strings with fewer words are data and not messages."""

_TOKEN = re.compile(
    r"#[^\n]*"
    r'|"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""'
    r"|'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''"
    r'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
    r"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'",
    re.DOTALL,
)
_DEFINITION = re.compile(r"^[ \t]*(?:async def|def|class)[ \t]+(\w+)|^([A-Z][A-Z0-9_]*)(?:: [^=\n]+)? =", re.MULTILINE)
_PREFIX = re.compile(r"[rRbBuUfF]{1,2}$")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_YAML_PROSE = re.compile(r"(?:[^#\n]* )?# ?(.+)|\s*(?:ComponentDescription|Description|description|name): (.+)")


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of prose in a file; ``line`` is its first line in the file."""

    path: str
    line: int
    prose: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Finding:
    """A phrase that a rule rejects, and the advice of that rule."""

    path: str
    line: int
    phrase: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}: {self.advice}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern to reject in texts of some kinds; ``opening`` rules apply to the beginning of a text only."""

    pattern: re.Pattern[str]
    advice: str
    kinds: frozenset[Kind]
    opening: bool


@dataclass(frozen=True, slots=True)
class Exemption:
    """A phrase that is allowed in the files that match a glob, with the reason."""

    files: str
    phrase: re.Pattern[str]
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Return whether the finding is one of those allowed."""
        return fnmatchcase(finding.path, self.files) and self.phrase.fullmatch(finding.phrase) is not None


def python_texts(path: str, source: str) -> Iterator[Text]:
    """Yield docstrings, comments, strings of several words, and the names of functions, classes and constants."""
    parts: list[str] = []
    begin = end = 0
    for token in _TOKEN.finditer(source):
        found, start = token[0], token.start()
        if found[0] == "#":
            if not found.startswith(("# noqa", "# type:", "# fmt:", "# ruff:")):
                yield Text(path, source.count("\n", 0, start) + 1, found.lstrip("# "), "comment")
            continue
        prefix = _PREFIX.search(source, max(end, start - 2), start)
        opened = start if prefix is None else prefix.start()
        if parts and not found.startswith(('"""', "'''")) and not source[end:opened].strip():
            parts.append(_content(found))  # implicit concatenation
        else:
            yield from _strings(path, source, begin, parts)
            parts, begin = [_content(found)], opened
        end = token.end()
    yield from _strings(path, source, begin, parts)
    code = _TOKEN.sub(_blank, source)
    for definition in _DEFINITION.finditer(code):
        name = definition[1] or definition[2]
        yield Text(path, code.count("\n", 0, definition.start()) + 1, name.replace("_", " "), "identifier")


def _content(token: str) -> str:
    quotes = 3 if token.startswith(('"""', "'''")) else 1
    return token[quotes:-quotes]


def _blank(token: re.Match[str]) -> str:
    return "\n" * token[0].count("\n")


def _strings(path: str, source: str, begin: int, parts: Sequence[str]) -> Iterator[Text]:
    """Yield a string, which is a docstring if it is a statement of its own."""
    if not parts:
        return
    before = source[:begin].rstrip(" \t")
    statement = before.endswith("\n") or not before
    statement = statement and source.startswith(('"""', "'''"), begin + (source[begin] in "rR"))
    statement = statement and before.rstrip()[-1:] not in tuple("([{,=+|")
    prose = "".join(parts)
    if statement or len(prose.split()) >= MIN_WORDS:
        yield Text(path, source.count("\n", 0, begin) + 1, prose, "docstring" if statement else "message")


def yaml_texts(path: str, source: str) -> Iterator[Text]:
    """Yield comments and descriptions of a template, recipe or workflow."""
    for at, line in enumerate(source.splitlines(), start=1):
        found = _YAML_PROSE.match(line)
        if found:
            yield Text(path, at, found[1] or found[2], "comment")


def markdown_texts(path: str, source: str) -> Iterator[Text]:
    """Yield the page without its code, with line numbers kept."""
    prose = _FENCED.sub(_blank, source)
    yield Text(path, 1, _INLINE_CODE.sub("code", prose), "page")


READERS = {".py": python_texts, ".md": markdown_texts, ".yaml": yaml_texts, ".yml": yaml_texts}


def findings(text: Text, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield what the rules reject in a text."""
    for rule in rules:
        if text.kind not in rule.kinds:
            continue
        if rule.opening:
            found = rule.pattern.match(text.prose.lstrip())
            matches = [found] if found else []
        else:
            matches = list(rule.pattern.finditer(text.prose))
        for match in matches:
            line = text.line + text.prose.count("\n", 0, match.start())
            yield Finding(text.path, line, match[0], rule.advice)


def load_rules(path: Path) -> tuple[list[Rule], list[Exemption]]:
    """Read the rules and exemptions; raises ValueError for an exemption without a reason and an unknown kind."""
    data = tomllib.loads(path.read_text())
    rules = []
    for entry in data["rule"]:
        kinds = frozenset(entry.get("kinds", ("docstring", "comment", "message", "page")))
        if not kinds <= set(KINDS):
            raise ValueError(f"{path}: kinds of {entry['pattern']!r} are {sorted(kinds)}, allowed are {KINDS}")
        rules.append(Rule(re.compile(entry["pattern"]), entry["advice"], kinds, entry.get("opening", False)))
    exemptions = [
        Exemption(entry["files"], re.compile(entry["phrase"]), entry["reason"]) for entry in data.get("exemption", [])
    ]
    for exemption in exemptions:
        if not exemption.reason.strip():
            raise ValueError(f"{path}: the exemption for {exemption.files} has no reason")
    return rules, exemptions


def texts(root: Path) -> Iterator[Text]:
    """Yield the prose of all tracked Python, Markdown and YAML files."""
    command = ["git", "ls-files", "*.py", "*.md", "*.yaml", "*.yml"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout  # noqa: S603
    for path in listed.splitlines():
        if (root / path).exists():
            yield from READERS[Path(path).suffix](path, (root / path).read_text())


def check(root: Path, rules_path: Path = RULES) -> list[str]:
    """Return one line for each finding that is not exempt and for each exemption that matches nothing."""
    rules, exemptions = load_rules(rules_path)
    used: set[Exemption] = set()
    problems = []
    for text in texts(root):
        for finding in findings(text, rules):
            covering = [exemption for exemption in exemptions if exemption.covers(finding)]
            used.update(covering)
            if not covering:
                problems.append(str(finding))
    problems += [
        f"{rules_path.name}: the exemption of {exemption.phrase.pattern!r} for {exemption.files} matches nothing"
        for exemption in exemptions
        if exemption not in used
    ]
    return problems


def main() -> int:
    """Print the problems and return the exit code."""
    problems = check(Path(__file__).resolve().parent.parent)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
