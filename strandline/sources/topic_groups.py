"""Groups of topics whose payloads have the same form, and topic patterns that keep the groups apart. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.mapping.bindings import read_bindings

MAX_ELEMENTS = 100
"""Maximum of proposed elements: nucleus lite passes no message above 10,000 bytes."""
UNNAMED = ((), ("",), ("value",))
"""Fields of payloads that have one value without a name."""


@dataclass(frozen=True, slots=True)
class TopicGroup:
    """Topics with one number of levels, and format, fields and key of the time of their payloads."""

    topics: Sequence[str]
    form: str
    fields: tuple[str, ...]
    time: str
    origin: str = ""
    """Pattern of the group from which this one was separated; it determines the names of the series."""

    @property
    def unnamed(self) -> bool:
        """True where a payload has one value without a name."""
        return self.form == "plain" or (self.form == "json" and self.fields in UNNAMED)

    @property
    def pattern(self) -> str:
        """The topic pattern; without a field, the last level is a placeholder, because it names the channel."""
        pattern = pattern_of(self.topics).split("/")
        if not self.origin and (len(self.topics) == 1 or (self.unnamed and not pattern[-1].startswith("{"))):
            pattern[-1] = _placeholder(len(pattern))
        return "/".join(pattern)

    @property
    def element(self) -> dict[str, Any]:
        """The element of ``topics``."""
        pattern = self.pattern
        element: dict[str, Any] = {"topic": pattern, **({"time": self.time} if self.time else {})}
        if self.origin:
            levels = zip(self.origin.split("/"), pattern.split("/"), strict=True)
            parts = [level for general, level in levels if general.startswith("{")]
            element["series"] = ".".join(parts if self.unnamed else [*parts, "{field}"])
        if self.form != "json":
            return {**element, "format": self.form}
        return element if self.fields in UNNAMED else {**element, "value": list(self.fields)}


def pattern_of(topics: Sequence[str]) -> str:
    """Return the pattern of topics with the same number of levels, with placeholders where they differ."""
    levels = zip(*(topic.split("/") for topic in topics), strict=True)
    return "/".join(column[0] if len(set(column)) == 1 else _placeholder(at) for at, column in enumerate(levels, 1))


def separated(groups: Sequence[TopicGroup]) -> list[dict[str, Any]]:
    """Return elements for ``topics`` in an order in which each topic is read by the element of its group.

    The first pattern that matches a topic counts, so those with fewer placeholders come first. A group with topics that
    another pattern still matches before is divided by the last levels of its topics, and then into single topics. That
    is left out where it would need more elements than MAX_ELEMENTS.
    """
    found = _ordered(groups)
    for key in (_last_level, str):
        if len(found) > MAX_ELEMENTS:
            break
        misread = _misread(found)
        divided = [part for group in found for part in (_parts(group, key) if group in misread else (group,))]
        if len(divided) > MAX_ELEMENTS:
            break
        found = _ordered(divided)
    return [group.element for group in found]


def _placeholder(level: int) -> str:
    return f"{{level{level}}}"


def _last_level(topic: str) -> str:
    return topic.rpartition("/")[2]


def _ordered(groups: Sequence[TopicGroup]) -> list[TopicGroup]:
    return sorted(groups, key=lambda group: group.pattern.count("{"))


def _misread(ordered: Sequence[TopicGroup]) -> list[TopicGroup]:
    """Return the groups with topics that an earlier pattern matches."""
    patterns = [_binding(group.element).pattern for group in ordered]
    return [
        group
        for at, group in enumerate(ordered)
        if any(pattern.match(topic) is not None for pattern in patterns[:at] for topic in group.topics)
    ]


def _parts(group: TopicGroup, key: Callable[[str], str]) -> list[TopicGroup]:
    """Return the group divided by a key of its topics; whole if a part could not be configured."""
    origin = group.origin or group.pattern
    by_key = groupby(sorted(group.topics, key=key), key)
    parts = [replace(group, topics=list(topics), origin=origin) for _, topics in by_key]
    try:
        for part in parts:
            _binding(part.element)
    except ConfigError:  # a level with a brace
        return [group]
    return parts


def _binding(element: dict[str, Any]) -> Any:
    (binding,) = read_bindings({"topics": [element]}, [])
    return binding
