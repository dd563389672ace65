"""Quality scale of the kinds of sources: its rules, the level of each kind, and the tables of docs/sources.md.

A test shows a rule for kinds by the marker ``@pytest.mark.source_quality(RULE, KIND, ...)``, with ``"*"`` for all. The
markers are read from the source text of the tests, so that no test is imported.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_components.common.config import table
from edge_components.sensor_reader.entries import kind_of, kinds
from edge_components.sensor_reader.sources import Kind, Level

MARKER, ALL = "source_quality", "*"
ORDER = (Level.BRONZE, Level.SILVER, Level.GOLD, Level.PLATINUM)
DOCUMENTED = "documented"
YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and the level for which it is required."""

    name: str
    level: Level
    meaning: str


RULES = (
    Rule(DOCUMENTED, Level.BRONZE, "this page has a section with the table of keys and an example"),
    Rule("stored", Level.BRONZE, "a reading arrives in the cloud, through the built components"),
    Rule("unreachable", Level.BRONZE, "a peer, device or file that is missing is reported and tried again"),
    Rule("peer", Level.SILVER, "read from a server, device, kernel or file of another writer, not of this project"),
    Rule("example", Level.SILVER, "the examples on this page were read, with other addresses"),
    Rule("reconnects", Level.SILVER, "read again after the peer was away"),
    Rule("malformed", Level.SILVER, "what the protocol does not allow is counted, and later readings are read"),
    Rule("independent", Level.GOLD, "that peer shares no code with the library by which the source reads"),
    Rule("secure", Level.GOLD, "encrypted connection; a certificate that does not verify is refused"),
    Rule("qualities", Level.GOLD, "the quality that the device states is that of the reading"),
    Rule("times", Level.GOLD, "the time that the device states is that of the reading"),
    Rule("hangs", Level.GOLD, "a peer that accepts a connection and then does not answer is left and tried again"),
    Rule("field", Level.PLATINUM, "read from a device in the field"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of the rules for one kind: ``tests`` by rule, without rules that are not shown."""

    name: str
    kind: Kind
    tests: Mapping[str, tuple[str, ...]]

    def state(self, rule: Rule) -> str:
        """Return yes, no, or the reason why the rule does not apply."""
        if rule.name in self.tests:
            return YES
        return self.kind.inapplicable.get(rule.name, NO)

    @property
    def level(self) -> Level:
        """The highest level whose rules are met, together with those of all lower levels."""
        reached = Level.NONE
        for level in ORDER:
            if any(self.state(rule) == NO for rule in RULES if rule.level == level):
                break
            reached = level
        return reached

    @property
    def missing(self) -> list[str]:
        """The rules of the next level that are not met."""
        following = ORDER[ORDER.index(self.level) + 1 :] if self.level in ORDER else ORDER
        return [rule.name for rule in RULES if rule.level == following[0] and self.state(rule) == NO]


def results(root: Path) -> list[Result]:
    """Return the results of all kinds, by the tests and documents of the repository."""
    page = (root / "docs/sources.md").read_text()
    found = shown(root / "tests")
    unknown = {rule for rule, _kind in found} - {rule.name for rule in RULES}
    unknown |= {kind for _rule, kind in found} - {ALL, *kinds()}
    if unknown:
        raise ValueError(f"markers {MARKER} name unknown rules or kinds: {sorted(unknown)}")
    made = []
    for name in kinds():
        tests = {
            rule.name: (*found.get((rule.name, name), ()), *found.get((rule.name, ALL), ()))
            for rule in RULES
            if (rule.name, name) in found or (rule.name, ALL) in found
        }
        if is_documented(page, name):
            tests[DOCUMENTED] = ("docs/sources.md",)
        made.append(Result(name, kind_of(name), tests))
    return sorted(made, key=lambda one: (-ORDER.index(one.level) if one.level in ORDER else 1, one.name))


def is_documented(page: str, kind: str) -> bool:
    """Return whether the page of sources has a section of the kind with its keys and an example."""
    section = re.search(rf"^## {kind}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    if section is None or table(kind_of(kind).settings).strip() not in section[1]:
        return False
    blocks = re.findall(r"```json\n(.*?)```", section[1], re.S)
    return any(entry["kind"] == kind for text in blocks for entry in json.loads(text)["sources"])


def shown(tests: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the names of the tests that show a rule for a kind, by rule and kind."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        text = path.read_text()
        if MARKER not in text:
            continue
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(tests.parent).as_posix()}::{function.name}"
                for rule, kind in _marks(function):
                    found.setdefault((rule, kind), []).append(name)
    return {key: tuple(names) for key, names in found.items()}


def _marks(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
            continue
        if decorator.func.attr == MARKER:
            rule, *names = (ast.literal_eval(argument) for argument in decorator.args)
            yield from ((rule, name) for name in names)


def rules_table() -> str:
    """Return the rules as a table."""
    rows = [f"| {rule.level.value} | {rule.name} | {rule.meaning} |" for rule in RULES]
    return "\n".join(["| level | rule | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def kinds_table(found: list[Result]) -> str:
    """Return the level of each kind, what the next one lacks, and the rules that do not apply, as a table."""
    rows = []
    for one in found:
        reasons: dict[str, list[str]] = {}
        for rule, reason in one.kind.inapplicable.items():
            reasons.setdefault(reason, []).append(rule)
        exempt = "; ".join(f"{', '.join(rules)}: {reason}" for reason, rules in reasons.items())
        tests = len({name for names in one.tests.values() for name in names if "::" in name})
        rows.append(f"| `{one.name}` | {one.level.value} | {', '.join(one.missing)} | {exempt} | {tests} |")
    head = [
        "| kind | level | missing for the next level | rules that do not apply | tests |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"
