"""Check that docstrings, help texts and Markdown pages use plain technical English.

Run as ``python docs/check_language.py`` (part of ``make check``). The rules are in
``docs/language.toml``, with the exemptions, each with its reason, and with the files that are still to be rewritten. An
entry that no longer matches anything is an error, too.
The exit code is 1 when there are findings.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

RULES = Path(__file__).with_name("language.toml")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]+`")


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of prose in a file; ``line`` is its first line in the file, ``opening`` is True for a docstring."""

    path: str
    line: int
    prose: str
    opening: bool


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
    """A pattern to reject; ``opening`` rules apply to the beginning of docstrings only."""

    pattern: re.Pattern[str]
    advice: str
    opening: bool


@dataclass(frozen=True, slots=True)
class Exemption:
    """A phrase that is allowed in the files that match a glob, with the reason.

    An entry ``pending`` in the rules file is an exemption of every phrase.
    """

    files: str
    phrase: re.Pattern[str]
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Return whether the finding is one of those allowed."""
        return fnmatchcase(finding.path, self.files) and self.phrase.fullmatch(finding.phrase) is not None


def python_texts(path: str, source: str) -> Iterator[Text]:
    """Yield docstrings and the ``help=`` texts of command-line options."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield Text(path, node.body[0].lineno, docstring, opening=True)
        elif isinstance(node, ast.keyword) and node.arg == "help":
            match node.value:
                case ast.Constant(value=str(help_text), lineno=line):
                    yield Text(path, line, help_text, opening=False)


def markdown_texts(path: str, source: str) -> Iterator[Text]:
    """Yield the page without its code, with line numbers kept."""
    prose = _FENCED.sub(lambda block: "\n" * block[0].count("\n"), source)
    yield Text(path, 1, _INLINE_CODE.sub("code", prose), opening=False)


def findings(text: Text, rules: list[Rule]) -> Iterator[Finding]:
    """Yield what the rules reject in a text."""
    for rule in rules:
        if rule.opening:
            found = rule.pattern.match(text.prose) if text.opening else None
            matches = [found] if found else []
        else:
            matches = list(rule.pattern.finditer(text.prose))
        for match in matches:
            line = text.line + text.prose.count("\n", 0, match.start())
            yield Finding(text.path, line, match[0], rule.advice)


def load_rules(path: Path) -> tuple[list[Rule], list[Exemption]]:
    """Read the rules and exemptions; raises ValueError for an exemption without a reason."""
    data = tomllib.loads(path.read_text())
    rules = [Rule(re.compile(entry["pattern"]), entry["advice"], entry.get("opening", False)) for entry in data["rule"]]
    exemptions = [
        Exemption(entry["files"], re.compile(entry["phrase"]), entry["reason"]) for entry in data.get("exemption", [])
    ]
    any_phrase = re.compile(".*", re.DOTALL)
    exemptions += [Exemption(files, any_phrase, "still to be rewritten") for files in data.get("pending", [])]
    for exemption in exemptions:
        if not exemption.reason.strip():
            raise ValueError(f"{path}: the exemption for {exemption.files} has no reason")
    return rules, exemptions


def texts(root: Path) -> Iterator[Text]:
    """Yield the prose of all tracked Python and Markdown files."""
    command = ["git", "ls-files", "*.py", "*.md"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout  # noqa: S603
    for path in listed.splitlines():
        if (root / path).exists():
            reader = python_texts if path.endswith(".py") else markdown_texts
            yield from reader(path, (root / path).read_text())


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
