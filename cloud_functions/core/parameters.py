"""Query parameters of requests as values; each invalid one adds a sentence to a list of problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from cloud_functions.core import keys

Query = Mapping[str, str]


def moment(query: Query, name: str, default: int, problems: list[str]) -> int:
    """Return a time parameter in ms, or ``default`` if absent."""
    text = query.get(name)
    if text is None:
        return default
    try:
        ms = int(text) if text.isdecimal() and len(text) <= 13 else _iso_ms(text)
        if 0 <= ms <= keys.MAX_TIME_MS:
            return ms
    except (ValueError, OverflowError):
        pass
    problems.append(f"{name}: {text[:80]!r}: milliseconds since 1970, or ISO 8601 with its offset, up to 2286")
    return default


def _iso_ms(text: str) -> int:
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("the time has no offset from UTC")
    return round(parsed.timestamp() * 1000)


def count(query: Query, name: str, default: int, most: int, problems: list[str]) -> int:
    """Return a parameter that is a whole number from 1 to ``most``, or ``default`` if absent."""
    text = query.get(name)
    if text is None:
        return default
    if text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= most:
        return int(text)
    problems.append(f"{name}: {text[:80]!r}: 1 to {most}")
    return default


def choice(query: Query, name: str, allowed: Sequence[str], default: str, problems: list[str]) -> str:
    """Return a parameter that is one of several texts, or ``default`` if absent."""
    text = query.get(name, default)
    if text in allowed:
        return text
    problems.append(f"{name}: {text[:40]!r}: one of {', '.join(allowed)}")
    return default


def pattern(query: Query, name: str, problems: list[str]) -> str:
    """Return a pattern of names with ``*`` and ``?``; absent, it matches every name."""
    text = query.get(name, "*")
    if 1 <= len(text) <= 256:
        return text
    problems.append(f"{name}: {text[:80]!r}: a pattern of 1 to 256 characters, such as pump*")
    return "*"
