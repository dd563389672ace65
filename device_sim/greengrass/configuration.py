"""A component's configuration: merge, reset, JSON pointers and modification times; pure.

Merge and reset follow "Update component configurations" of the developer guide: a reset precedes the merge and
restores the recipe's default (or removes a value without a default); a merge replaces leaves and whole lists, and
descends into objects. The defaults of a new version add missing values and overwrite nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from device_sim.greengrass.errors import ConfigurationError, StaleUpdateError

Path = tuple[str, ...]
_ABSENT = object()
MAX_DEPTH = 64


def parse_pointer(pointer: object) -> Path:
    """Return the keys of a JSON pointer (RFC 6901); the empty text is the whole document. Raises ConfigurationError."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise ConfigurationError(f"{pointer!r} is not a JSON pointer, which is empty or begins with /")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def pointer(path: Path) -> str:
    """Return the JSON pointer of a path."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def find(values: object, path: Sequence[str]) -> Any:
    """Return the value at ``path``; raises KeyError. The keys of a list are its indexes."""
    for key in path:
        if isinstance(values, Mapping):
            values = values[key]
        elif isinstance(values, list) and key.isascii() and key.isdigit() and int(key) < len(values):
            values = values[int(key)]
        else:
            raise KeyError(key)
    return values


def merge(base: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``update`` merged in, without modifying either."""
    merged = {**base}
    for key, value in update.items():
        old = merged.get(key)
        merged[key] = merge(old if isinstance(old, Mapping) else {}, value) if isinstance(value, Mapping) else value
    return merged


def reset(current: Mapping[str, Any], defaults: Mapping[str, Any], pointers: Sequence[str]) -> dict[str, Any]:
    """Return ``current`` with the values at the pointers reset to their defaults, or removed without a default."""
    values: dict[str, Any] = copy.deepcopy(dict(current))
    for path in map(parse_pointer, pointers):
        if not path:
            return copy.deepcopy(dict(defaults))
        try:
            _put(values, path, copy.deepcopy(find(defaults, path)))
        except KeyError:
            _remove(values, path)
    return values


def _put(values: dict[str, Any], path: Path, value: Any) -> None:
    for key in path[:-1]:
        child = values.get(key)
        if not isinstance(child, dict):
            child = values[key] = {}
        values = child
    values[path[-1]] = value


def _remove(values: Any, path: Path) -> None:
    for key in path[:-1]:
        if not isinstance(values, dict) or key not in values:
            return
        values = values[key]
    if isinstance(values, dict):
        values.pop(path[-1], None)


def leaves(values: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every leaf with its path; a list and an empty object are leaves."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, values


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Path]:
    """Return the paths of added, removed and changed leaves (1 and true, 1 and 1.0 differ)."""
    before, after = dict(leaves(old)), dict(leaves(new))
    return [
        path
        for path in dict.fromkeys((*after, *before))
        if path and not _same(before.get(path, _ABSENT), after.get(path, _ABSENT))
    ]


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def check_depth(values: object, depth: int = 0) -> None:
    """Raise ConfigurationError for values nested deeper than MAX_DEPTH."""
    if depth > MAX_DEPTH:
        raise ConfigurationError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(values, Mapping | list):
        for value in values.values() if isinstance(values, Mapping) else values:
            check_depth(value, depth + 1)


@dataclass(frozen=True, slots=True)
class ConfigurationUpdate:
    """Configuration change of a deployment: reset first, then merge."""

    merge: Mapping[str, Any] = field(default_factory=dict)
    reset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Values, and the modification time of each leaf that was ever set, in milliseconds since the epoch."""

    values: Mapping[str, Any]
    modified: Mapping[Path, int] = field(default_factory=dict)

    def deployed(self, defaults: Mapping[str, Any], update: ConfigurationUpdate, now_ms: int) -> Configuration:
        """Return the configuration after a deployment of a recipe with these defaults."""
        values = reset(self.values, defaults, update.reset)
        values = merge(merge(defaults, values), update.merge)
        return self._stamped(values, now_ms)

    def updated(self, path: Sequence[str], value: Mapping[str, Any], timestamp_ms: int) -> Configuration:
        """Return the configuration with ``value`` merged in at ``path``.

        Raises ConfigurationError when the path leads through a leaf, StaleUpdateError when a leaf that would change
        was modified after ``timestamp_ms``.
        """
        for depth in range(1, len(path) + 1):
            try:
                found = find(self.values, path[:depth])
            except KeyError:
                break
            if not isinstance(found, Mapping):
                raise ConfigurationError(f"{pointer(tuple(path[:depth]))} is a leaf, only objects can be merged into")
        nested: Mapping[str, Any] = value
        for key in reversed(path):
            nested = {key: nested}
        values = merge(self.values, nested)
        for leaf in changed(self.values, values):
            if self.modified.get(leaf, 0) > timestamp_ms:
                raise StaleUpdateError(
                    f"{pointer(leaf)} was modified at {self.modified[leaf]} ms, after this update's {timestamp_ms} ms"
                )
        return self._stamped(values, timestamp_ms)

    def _stamped(self, values: Mapping[str, Any], now_ms: int) -> Configuration:
        stamps = dict.fromkeys(changed(self.values, values), now_ms)
        kept = {path for path, _ in leaves(values)}
        return Configuration(values, {path: at for path, at in {**self.modified, **stamps}.items() if path in kept})
