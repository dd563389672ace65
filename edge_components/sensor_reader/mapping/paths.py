"""Paths into JSON values: keys joined by dots, with ``*`` for any key or index and ``**`` for every leaf below. Pure.

A backslash takes the next character literally, so ``a\\.b`` is the key ``a.b`` and ``\\*`` the key ``*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

MAX_DEPTH = 20
MAX_MATCHES = 10_000
MISSING = object()
_UNIT_PATH = re.compile(r"\{\.(.+)\}\Z")
"""A unit that a field takes from a path into the payload."""


class Wildcard:
    """A step that matches more than one key."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


ANY, DEEP = Wildcard("*"), Wildcard("**")
Step = str | Wildcard
Path = tuple[Step, ...]


def parse(text: str) -> Path:
    """Return the steps of a path, none for the empty text; raises ValueError where ``**`` is not the last step."""
    steps: list[Step] = []
    part, escaped, literal = "", False, False
    for character in [*text, None] if text else []:
        if character is not None and escaped:
            part, escaped, literal = part + character, False, True
        elif character == "\\":
            escaped = True
        elif character is None or character == ".":
            if part or literal:
                wildcard = None if literal else {"*": ANY, "**": DEEP}.get(part)
                steps.append(part if wildcard is None else wildcard)
            part, literal = "", False
        else:
            part += character
    if DEEP in steps[:-1]:
        raise ValueError(f"path {text[:80]!r}: ** is allowed as the last step only")
    return tuple(steps)


def is_plain(path: Path) -> bool:
    """Return whether a path has no wildcard."""
    return not any(isinstance(step, Wildcard) for step in path)


def get(body: Any, path: Path) -> Any:
    """Return the value at a path without wildcards, MISSING where it does not exist."""
    for step in path:
        if isinstance(body, dict):
            body = body.get(step, MISSING)
        elif isinstance(body, list) and isinstance(step, str) and step.isdecimal() and int(step[:9]) < len(body):
            body = body[int(step[:9])]
        else:
            return MISSING
        if body is MISSING:
            return MISSING
    return body


def find(body: Any, path: Path) -> Iterator[tuple[list[str], Any]]:
    """Yield the keys on the way to each match, and its value; at most MAX_MATCHES."""
    for count, match in enumerate(_find(body, path, [])):
        if count >= MAX_MATCHES:
            return
        yield match


def _find(body: Any, path: Sequence[Step], way: list[str]) -> Iterator[tuple[list[str], Any]]:
    if not path:
        yield way, body
        return
    step = path[0]
    if step is DEEP:
        yield from _leaves(body, way)
    elif step is ANY:
        for key, value in _children(body):
            yield from _find(value, path[1:], [*way, key])
    else:
        value = get(body, (step,))
        if value is not MISSING:
            yield from _find(value, path[1:], [*way, str(step)])


def _leaves(body: Any, way: list[str]) -> Iterator[tuple[list[str], Any]]:
    if isinstance(body, dict | list):
        if len(way) < MAX_DEPTH:
            for key, value in _children(body):
                yield from _leaves(value, [*way, key])
    else:
        yield way, body


def _children(body: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(body, dict):
        yield from body.items()
    elif isinstance(body, list):
        yield from ((str(at), value) for at, value in enumerate(body))


def unit_path(unit: str | None) -> Path | None:
    """Return the path of a unit such as ``{.TempUnit}``, None for another one."""
    match = _UNIT_PATH.match(unit or "")
    return parse(match[1]) if match else None
