"""Patterns of names: ``*`` stands for any text, ``?`` for one character, ``[ab]`` for one of several."""

from __future__ import annotations

from fnmatch import fnmatchcase

MAX_GLOB = 256


def matches(pattern: str, name: str) -> bool:
    """Return True if the whole name matches the pattern, upper and lower case distinguished."""
    return pattern == "*" or fnmatchcase(name, pattern)
