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


REST = "rest"
"""The name under which the levels that a last ``#`` matches can be used in a series' name."""


class TopicPattern:
    """One pattern; raises ValueError where a pattern that must name a series has no placeholder in it."""

    def __init__(self, pattern: str, *, names_series: bool = True) -> None:
        self._levels = pattern.split("/")
        self._open_ended = self._levels[-1] == "#"
        if self._open_ended:
            self._levels.pop()
        taken = [at for at, level in enumerate(self._levels) if _PLACEHOLDER.match(level)]
        if names_series and not taken:
            raise ValueError(f"topic pattern {pattern!r} has no {{placeholder}}: it would name no series")
        self._taken = {at: self._levels[at][1:-1] for at in taken}
        if len(set(self._taken.values())) < len(taken):
            raise ValueError(f"topic pattern {pattern!r} has a {{placeholder}} twice")
        self._fixed = [(at, level) for at, level in enumerate(self._levels) if at not in self._taken and level != "+"]

    @property
    def subscription(self) -> str:
        """The MQTT topic filter that matches all topics of the pattern."""
        levels = ["+" if at in self._taken else level for at, level in enumerate(self._levels)]
        return "/".join([*levels, "#"] if self._open_ended else levels)

    @property
    def placeholders(self) -> list[str]:
        """The names of the levels that are taken, in their order."""
        return list(self._taken.values())

    def match(self, topic: str) -> dict[str, str] | None:
        """Return the levels that are taken, by placeholder, or None when the pattern does not match the topic."""
        levels = topic.split("/")
        if len(levels) < len(self._levels) or (len(levels) > len(self._levels) and not self._open_ended):
            return None
        if any(levels[at] != level for at, level in self._fixed):
            return None
        return {name: levels[at] for at, name in self._taken.items()}

    def rest(self, topic: str) -> str:
        """Return the levels of a topic that a last ``#`` matches, joined by dots."""
        return ".".join(topic.split("/")[len(self._levels) :])

    def series(self, topic: str) -> str | None:
        """Return the name of the series that ``topic`` names, or None when the pattern does not match it."""
        levels = self.match(topic)
        return None if levels is None else ".".join(levels.values())
