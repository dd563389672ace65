"""Bindings: a topic pattern with the format and mapping of its payloads. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from edge_components.common.config import read_list
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader import discovery, presets
from edge_components.sensor_reader.mapping.names import NameTemplate
from edge_components.sensor_reader.mapping.settings import KEYS, MappingSettings, format_kind, load_mapping
from edge_components.sensor_reader.presets import Preset
from edge_components.sensor_reader.topic_patterns import PATTERN, TopicPattern

MAX_BINDINGS = 1_000
"""Maximum of topic patterns of an entry: 1,000 take 0.3 CPU seconds at a start and 4 MB (x86-64)."""
TOPICS = (
    'a list of topics, or of objects {"topic": ...} with keys of the mapping; a level may be {placeholder} or +, the '
    "last one #"
)
_DEFAULTS = MappingSettings()
_PLAIN_KEYS = frozenset({"value", "time", "quality", "unit", "max_future_ms", "time_zone", "unusable_time"})


@dataclass(frozen=True, slots=True)
class Binding:
    """The mapping of the payloads of one topic pattern."""

    topic: str
    mapping: MappingSettings

    @property
    def plain(self) -> bool:
        """True where a payload is one JSON value with one name, which needs no mapping."""
        changed = {one.name for one in fields(MappingSettings) if _value(self.mapping, one) != _value(_DEFAULTS, one)}
        simple = len(self.mapping.value) == 1 and not set(self.mapping.value[0]) & set("*\\")
        simple = simple and len(self.mapping.time) <= 1
        return changed <= _PLAIN_KEYS and simple and bool(self.pattern.placeholders)

    @property
    def pattern(self) -> TopicPattern:
        """The topic pattern."""
        return TopicPattern(self.topic, names_series=False)


def _value(settings: MappingSettings, one: Any) -> Any:
    return getattr(settings, one.name)


def preset_names() -> list[str]:
    """Return the names of the presets that exist."""
    return discovery.names(presets)


def read_preset(name: Any) -> Preset:
    """Return a preset, an empty one for the empty name; raises ConfigError."""
    if name in ("", None):
        return Preset("")
    if name not in preset_names():
        raise ConfigError([f"preset: {repr(name)[:80]} is not allowed, expected one of {', '.join(preset_names())}"])
    preset = discovery.load(presets, name).PRESET
    assert isinstance(preset, Preset)  # noqa: S101 # a defect of the module
    return preset


def read_bindings(values: Mapping[str, Any], default_topics: Sequence[Any]) -> tuple[Binding, ...]:
    """Return the bindings of an entry from its keys ``topics``, ``preset`` and those of the mapping.

    Raises ConfigError with a sentence for each bad key.
    """
    shared = {key: value for key, value in values.items() if key in KEYS}
    preset = read_preset(values.get("preset"))
    given = values.get("topics")
    if given is None:
        given = list(preset.topics) or default_topics
    if not isinstance(given, list | tuple) or not given or len(given) > MAX_BINDINGS:
        raise ConfigError([f"topics: {repr(given)[:80]} is not allowed, expected {TOPICS}, at most {MAX_BINDINGS}"])
    return read_list(
        "topics", given, lambda one: _binding(one, preset, shared), lambda binding: binding.topic, name_key="topic"
    )


def _binding(one: Any, preset: Preset, shared: Mapping[str, Any]) -> Binding:
    own = {"topic": one} if isinstance(one, str) else one
    if not isinstance(own, Mapping) or not isinstance(own.get("topic"), str):
        raise ConfigError([f"topic: {repr(one)[:80]} is not allowed, expected {TOPICS}"])
    topic = own["topic"]
    if len(topic) > 1024 or not re.fullmatch(PATTERN, topic):
        raise ConfigError([f"topic: {topic[:80]!r} is not allowed, expected {TOPICS}"])
    family = read_preset(own["preset"]) if "preset" in own else preset
    keys = {key: value for key, value in own.items() if key not in ("topic", "preset")}
    usual = next((dict(known) for known in family.topics if known["topic"] == topic), {})
    usual.pop("topic", None)
    mapping = load_mapping(family.mapping, usual, shared, keys)
    try:
        pattern = TopicPattern(topic, names_series=not (mapping.series or mapping.skip or _names_itself(mapping)))
        NameTemplate(mapping.series, [*pattern.placeholders, "rest", "topic"])
    except ValueError as error:
        raise ConfigError([f"topic: {error}"]) from error
    return Binding(topic, mapping)


def _names_itself(mapping: MappingSettings) -> bool:
    several = len(mapping.value) > 1 or "*" in mapping.value[0]
    return format_kind(mapping.format).complete_names or bool(mapping.columns) or several
