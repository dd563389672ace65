"""The mapping of a source that has no topics: its payloads have the entry's name as their topic. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.mapping.bindings import Binding, read_bindings
from edge_components.sensor_reader.mapping.settings import KEYS

S = TypeVar("S")
TOPIC = "{source}"


def read_with_mapping(kind: type[S], values: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[S, Binding]:
    """Return the settings of an entry and its mapping; ``defaults`` are keys of the mapping that suit the source.

    Raises ConfigError with a sentence for each bad key.
    """
    problems: list[str] = []
    settings = binding = None
    try:
        settings = load(kind, {key: value for key, value in values.items() if key not in (*KEYS, "preset")})
    except ConfigError as error:
        problems += error.problems
    keys = {key: value for key, value in values.items() if key in (*KEYS, "preset")}
    try:
        (binding,) = read_bindings({**defaults, **keys, "topics": [TOPIC]}, [])
    except ConfigError as error:
        problems += (problem.removeprefix("topics[0].") for problem in error.problems)
    if problems or settings is None or binding is None:
        raise ConfigError(problems)
    return settings, binding
