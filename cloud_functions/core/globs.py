"""Patterns of names: ``*`` stands for any text, ``?`` for one character, ``[ab]`` for one of several."""

from __future__ import annotations

from fnmatch import fnmatchcase

MAX_GLOB = 256
OWN_SERIES = "host."
"""Beginning of the names of a gateway's own series, which raise alerts only where they are asked for."""


def matches(pattern: str, name: str) -> bool:
    """Return True if the whole name matches the pattern, upper and lower case distinguished."""
    return pattern == "*" or fnmatchcase(name, pattern)


def is_own(series: str) -> bool:
    """Return True for a series of a gateway itself: its load, disk or temperature."""
    return series.startswith(OWN_SERIES)


def matches_series(pattern: str, series: str) -> bool:
    """Return True if a series matches; one of a gateway itself only a pattern that begins with ``host.``."""
    return matches(pattern, series) and (not is_own(series) or is_own(pattern))
