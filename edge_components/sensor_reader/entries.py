"""The key ``sources``: a list of named entries, each checked by its kind. Pure except for the import of the kinds."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from edge_components.common.config import load, objects, read_list
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader import discovery, sources
from edge_components.sensor_reader.sources import Kind

MAX_ENTRIES = 100
NAME = r"[A-Za-z0-9][A-Za-z0-9_\-]{0,31}"
ALLOWED = 'a list of objects {"name": ..., "kind": ..., and the keys of the kind}, each name once'
DEFAULT: list[dict[str, Any]] = [{"name": "mqtt", "kind": "mqtt"}, {"name": "host", "kind": "host"}]
_NAME_ALLOWED = "1 to 32 of A-Z a-z 0-9 _ -, the first alphanumeric"


@dataclass(frozen=True, slots=True)
class Entry:
    """One configured source: its name, its kind, and the settings that the kind made of the other keys."""

    name: str
    kind: str
    settings: Any


def kinds() -> list[str]:
    """Return the kinds of sources that exist."""
    return discovery.names(sources)


def kind_of(name: str) -> Kind:
    """Return a kind of :func:`kinds` by its name."""
    kind = discovery.load(sources, name).KIND
    assert isinstance(kind, Kind)  # noqa: S101 # a defect of the module
    return kind


def read_entries(value: Any) -> tuple[Entry, ...]:
    """Return the entries; raises ValueError for another shape and ConfigError with a sentence for each bad key."""
    items = objects(value, ALLOWED)
    if len(items) > MAX_ENTRIES:
        raise ConfigError([f"sources: {len(items)} entries are not allowed, expected at most {MAX_ENTRIES}"])
    entries = read_list("sources", items, _entry, lambda entry: entry.name, label=_label)
    claims: dict[str, str] = {}
    problems = []
    for entry in entries:
        claim = _claim(entry)
        if claim is not None and claim in claims:
            problems.append(f"sources[{entry.name}]: {claim} is not allowed, the entry {claims[claim]} uses it")
        elif claim is not None:
            claims[claim] = entry.name
    if problems:
        raise ConfigError(problems)
    return entries


def _label(index: int, values: Mapping[str, Any]) -> str | int:
    return values["name"] if _is_name(values.get("name")) else index


def _is_name(name: Any) -> TypeGuard[str]:
    return isinstance(name, str) and re.fullmatch(NAME, name) is not None


def without_invalid(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a configuration without the entries that are not valid, for a start that has no better one."""
    given = values.get("sources")
    if not isinstance(given, Sequence) or isinstance(given, str):
        return values
    entries: list[Any] = []
    for one in given:
        try:
            read_entries([one])
        except (ConfigError, ValueError):
            continue
        entries.append(one)
    try:
        read_entries(entries)
    except ConfigError:  # they are valid one by one, and two of them have a name or a serial line in common
        entries = [one for at, one in enumerate(entries) if _joins(entries[:at], one)]
    return {**values, "sources": entries}


def _joins(entries: list[Any], one: Any) -> bool:
    return all(_agree(other, one) for other in entries)


def _agree(one: Any, other: Any) -> bool:
    try:
        read_entries([one, other])
    except ConfigError:
        return False
    return True


def _claim(entry: Entry) -> str | None:
    kind = kind_of(entry.kind)
    return kind.claims(entry.settings) if kind.claims is not None else None


def _entry(values: Mapping[str, Any]) -> Entry:
    name, kind_name, known = values.get("name"), values.get("kind"), kinds()
    if not _is_name(name):
        raise ConfigError([f"name: {repr(name)[:80]} is not allowed, expected {_NAME_ALLOWED}"])
    if not isinstance(kind_name, str) or kind_name not in known:
        near = difflib.get_close_matches(str(kind_name)[:32], known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError([f"kind: {repr(kind_name)[:80]} is not allowed, expected one of {', '.join(known)}{hint}"])
    kind = kind_of(kind_name)
    own = {key: value for key, value in values.items() if key not in ("name", "kind")}
    return Entry(name, kind_name, kind.read(own) if kind.read is not None else load(kind.settings, own))
