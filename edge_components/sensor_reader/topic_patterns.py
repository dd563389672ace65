"""Topic patterns: which MQTT topics to subscribe to, and which series each topic names. Pure.

A pattern is a topic whose levels may be ``{placeholder}`` (taken into the series' name), ``+`` (any level, not taken)
and, last, ``#`` (any further levels, not taken). ``sensors/{device}/{channel}`` makes of ``sensors/pump-1/temperature``
the series ``pump-1.temperature``.
"""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}\Z")
PATTERN = r"(?!\$SYS)(?:[^+#{}/\x00]*|\{[A-Za-z_]\w*\}|\+)(?:/(?:[^+#{}/\x00]*|\{[A-Za-z_]\w*\}|\+))*(?:/#)?"
"""The whole of an allowed pattern, for the configuration."""


class TopicPattern:
    """One pattern; raises ValueError when it names no series (no placeholder in it)."""

    def __init__(self, pattern: str) -> None:
        self._levels = pattern.split("/")
        self._open_ended = self._levels[-1] == "#"
        if self._open_ended:
            self._levels.pop()
        self._taken = [at for at, level in enumerate(self._levels) if _PLACEHOLDER.match(level)]
        if not self._taken:
            raise ValueError(f"topic pattern {pattern!r} has no {{placeholder}}: it would name no series")
        free = set(self._taken)
        self._fixed = [(at, level) for at, level in enumerate(self._levels) if at not in free and level != "+"]

    @property
    def subscription(self) -> str:
        """The MQTT topic filter that matches all topics of the pattern."""
        free = set(self._taken)
        levels = ["+" if at in free else level for at, level in enumerate(self._levels)]
        return "/".join([*levels, "#"] if self._open_ended else levels)

    def series(self, topic: str) -> str | None:
        """Return the name of the series that ``topic`` names, or None when the pattern does not match it."""
        levels = topic.split("/")
        if len(levels) < len(self._levels) or (len(levels) > len(self._levels) and not self._open_ended):
            return None
        if any(levels[at] != level for at, level in self._fixed):
            return None
        return ".".join(levels[at] for at in self._taken)
