"""Every counter that a component increments is described in docs/counters.md, and no others are."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ("sensor_reader", "aggregator", "anomaly_detector", "forwarder", "common")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+|_<[a-z]+>|<[a-z]+>_?)*")
_ROW = re.compile(r"^\| (?P<names>`[^|]+`) \|", re.MULTILINE)
_COUNTING = {"add", "count"}
_LOGGING = {"info", "warning", "error", "exception", "reject"}
_REASON = re.compile(r"rejected_[a-z_]+")
"""Reasons that are constants elsewhere than in the call that counts them."""


def incremented(folder: Path) -> Iterator[str]:
    """Yield the names of the counters that the code in a folder increments, with ``<*>`` for a computed part."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _REASON.fullmatch(node.value):
                yield node.value
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            method, receiver = node.func.attr, ast.unparse(node.func.value)
            counts = (method in _COUNTING and "counters" in receiver) or (method == "count" and "log" in receiver)
            logs = method in _LOGGING and len(node.args) > 1
            if counts or logs:
                yield from _names(node.args[0])


def _names(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.IfExp):
        yield from _names(argument.body)
        yield from _names(argument.orelse)
    elif isinstance(argument, ast.Constant) and isinstance(argument.value, str) and _NAME.fullmatch(argument.value):
        yield argument.value
    elif isinstance(argument, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "<*>" for part in argument.values]
        yield "".join(map(str, parts))


@functools.cache
def raised() -> frozenset[str]:
    """Return the names of the counters that the components increment."""
    return frozenset(name for component in COMPONENTS for name in incremented(ROOT / "edge_components" / component))


def documented() -> set[str]:
    """Return the names in the first column of the tables in docs/counters.md."""
    text = (ROOT / "docs" / "counters.md").read_text()
    return {name for row in _ROW.finditer(text) for name in re.findall(r"`([^`]+)`", row["names"])}


def matches(pattern: str, name: str) -> bool:
    """Return whether a name, whose computed parts are ``<...>``, can be the same as another."""
    expression = "".join("[a-z_<>*]+" if part.startswith("<") else re.escape(part) for part in _split(pattern))
    return re.fullmatch(expression, name) is not None


def _split(pattern: str) -> list[str]:
    return [part for part in re.split(r"(<[^>]*>)", pattern) if part]


def test_every_counter_of_a_component_is_documented() -> None:
    known = documented()
    assert len(raised()) > 80
    assert sorted(name for name in raised() if not any(matches(one, name) for one in known)) == []


def test_every_documented_counter_is_incremented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "edge_components").rglob("*.py"))
    unknown = {name for name in documented() if not any(matches(one, name) or matches(name, one) for one in raised())}
    # Reasons may be constants elsewhere than in the call that counts them.
    assert sorted(name for name in unknown if f'"{name}"' not in source) == []


def test_counter_names_follow_the_rule() -> None:
    expression = re.compile(
        r"invalid_.*|.*_dropped|(?!mqtt_refused).*_refused"
    )  # a refused connection is the usual term
    assert sorted(name for name in raised() if expression.fullmatch(name)) == []
