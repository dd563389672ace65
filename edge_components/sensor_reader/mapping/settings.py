"""The keys of a mapping: how payloads of one format become readings."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from edge_components.common.config import flag, integer, load, mapping, text
from edge_components.common.errors import ConfigError
from edge_components.common.patterns import longest_match
from edge_components.sensor_reader import discovery, formats
from edge_components.sensor_reader.formats import FormatKind
from edge_components.sensor_reader.mapping import paths
from edge_components.sensor_reader.mapping.names import AnyLevel, NameTemplate
from edge_components.sensor_reader.mapping.paths import unit_path
from edge_components.sensor_reader.mapping.values import MAX_UNIT, Rule

_PATHS = "a path or a list of paths: keys joined by dots, * for any key, ** as the last one for every leaf below"
_EACH = "a path, a list of paths, or an empty text"
_UNIT_NAMES = "an object from units to units"
_GLOBS = "a list of globs over fields"
_WORDS = "an object from words to numbers"
_RENAME = "an object from names to names"
_COLUMNS = "a list of names; an empty one skips the column"
_FIELD_KEYS = ("name", "unit", "scale", "offset", "words", "decimal_comma", "ignore")
_FIELDS = f"an object from globs over fields to objects with any of {', '.join(_FIELD_KEYS)}"
_MAX_TEXT = 256


def _texts(value: Any, allowed: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and len(one) <= _MAX_TEXT for one in value):
        raise ValueError(allowed)
    return tuple(value)


def _paths(value: Any) -> tuple[str, ...]:
    texts = _texts([value] if isinstance(value, str) else value, _PATHS)
    if not all(paths.parse(one) for one in texts if one):
        raise ValueError(_PATHS)
    return texts


def _some_paths(value: Any) -> tuple[str, ...]:
    """Return paths, none for the empty text."""
    texts = _texts([value] if isinstance(value, str) else value, _EACH)
    return tuple(one for one in texts if one)


def _globs(value: Any) -> tuple[str, ...]:
    return _texts(value, _GLOBS)


def _columns(value: Any) -> tuple[str, ...]:
    return _texts(value, _COLUMNS)


def _words(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise ValueError(_WORDS)
    try:
        return {str(word).strip().lower(): float(number) for word, number in value.items()}
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(_WORDS) from error


def _rename(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(one, str) and one for one in value.values()):
        raise ValueError(_RENAME)
    return {str(former): str(name) for former, name in value.items()}


def _unit_names(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(unit, str) and len(unit.encode()) <= MAX_UNIT for unit in value.values()
    ):
        raise ValueError(_UNIT_NAMES)
    return {str(given): str(unit) for given, unit in value.items()}


def _switch(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError(_FIELDS)
    return value


def _fields(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping) or not all(
        isinstance(rule, Mapping) and set(rule) <= set(_FIELD_KEYS) for rule in value.values()
    ):
        raise ValueError(_FIELDS)
    return {str(glob): _field(str(glob), rule) for glob, rule in value.items()}


def _field(glob: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    try:
        for key, value in rule.items():
            if key in ("name", "unit"):
                if not isinstance(value, str) or len(value.encode()) > (MAX_UNIT if key == "unit" else _MAX_TEXT):
                    raise ValueError(f"{key} must be text")
                if key == "unit" and unit_path(value) is not None and not paths.is_plain(unit_path(value) or ()):
                    raise ValueError(f"{key} must be a path without wildcards")
                read[key] = value
            elif key in ("scale", "offset"):
                read[key] = float(value) if not isinstance(value, bool) else float("nan")
                if not abs(read[key]) <= 1e50:
                    raise ValueError(f"{key} must be a number")
            elif key == "words":
                read[key] = _words(value)
            else:
                read[key] = _switch(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{_FIELDS} (see {glob[:80]!r}: {error})") from error
    return read


def format_names() -> tuple[str, ...]:
    """Return the names of the formats that exist."""
    return tuple(name.replace("_", "+") for name in discovery.names(formats))


def format_kind(name: str) -> FormatKind:
    """Return a format of :func:`format_names`."""
    kind = discovery.load(formats, name.replace("+", "_")).FORMAT
    assert isinstance(kind, FormatKind)  # noqa: S101 # a defect of the module
    return kind


@lru_cache(maxsize=32)
def zone_of(name: str) -> ZoneInfo | None:
    """Return a time zone, None for the empty name; raises ValueError for an unknown one."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone that this machine has") from error


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """The form of payloads, and the names, values, units and times of the readings in them."""

    format: str = text("json", "the payloads' format", choices=format_names())
    series: str = text(
        "",
        "name of a series, from `{level}` of the topic, `{rest}` (the levels of a last `#`), `{topic}`, `{field}`, "
        "`{index}` (the place in an array), `{each}`, `{.path}` into the payload and `{.path?}`, which may be absent; "
        "empty is all levels and the field, joined by dots",
        pattern=r"[^\x00-\x1f]{0,256}",
        allowed="text of at most 256 characters",
    )
    each: tuple[str, ...] = mapping(
        [],
        _some_paths,
        _EACH,
        "JSON: paths to the elements that are readings; other paths begin in each of them, then in the payload",
    )
    value: tuple[str, ...] = mapping("value", _paths, _PATHS, "JSON: path to the value, or to several, one series each")
    time: tuple[str, ...] = mapping(
        "time",
        _some_paths,
        _EACH,
        "JSON: path to the event time, of several the first that exists; others: name of its column; empty is the time "
        "of arrival",
    )
    quality: str = text("quality", "JSON: path to the quality; others: name of its column")
    unit: str = text("unit", "JSON: path to the unit; others: name of its column")
    columns: tuple[str, ...] = mapping(
        [], _columns, _COLUMNS, "csv, raw, plain and dragino: names of the values in their order"
    )
    separator: str = text("", "csv: the character between columns; empty finds it", pattern=r"[^\w\n\r]?")
    layout: str = text(
        "",
        "raw: layout of binary payloads, in the notation of Python's struct (`>hH`)",
        pattern=r"([@=<>!]?[0-9xcbB?hHiIlLqQefd ]{1,64})?",
        allowed="a layout of Python's struct without strings",
    )
    fields: dict[str, dict[str, Any]] = mapping(  # noqa: RUF009
        {}, _fields, _FIELDS, "treatment of fields: of several globs that match, the longest counts"
    )
    unit_names: dict[str, str] = mapping(  # noqa: RUF009
        {}, _unit_names, _UNIT_NAMES, "units of payloads that have another name here, such as `C`: `Cel`"
    )
    ignore: tuple[str, ...] = mapping([], _globs, _GLOBS, "fields, or names of series, that are not measurements")
    words: dict[str, float] = mapping(  # noqa: RUF009
        {}, _words, _WORDS, "numbers that words stand for, such as `ON`: 1"
    )
    text_values: str = text(
        "reject", "text that is not a number: `reject` counts and logs it, `skip` counts it", choices=("reject", "skip")
    )
    plain_text: bool = flag(False, "JSON: a payload that is not JSON is one value in text, such as `ON`")
    decimal_comma: bool = flag(False, "numbers in text have a decimal comma")
    rename: dict[str, str] = mapping(  # noqa: RUF009
        {}, _rename, _RENAME, "other names of series, by the name that they would have"
    )
    skip: bool = flag(False, "payloads of the topic are not read")
    duplicates: str = text(
        "rename",
        "for a series that another topic provides: `rename` gives it a name of its own, `merge` makes one series of "
        "both, `skip` leaves it out",
        choices=("rename", "merge", "skip"),
    )
    time_zone: str = text("", "IANA time zone of times without an offset from UTC; empty rejects those")
    max_future_ms: int = integer(
        86_400_000, 1_000, 31_536_000_000, "an event time further ahead of the gateway's clock is unusable"
    )
    unusable_time: str = text(
        "arrival",
        "for a time before 1973 or too far ahead: `arrival` takes the time of arrival with quality uncertain",
        choices=("arrival", "reject"),
    )

    def __post_init__(self) -> None:
        problems = []
        try:
            zone_of(self.time_zone)
        except ValueError as error:
            problems.append(f"time_zone: {error}")
        try:
            NameTemplate(self.series, AnyLevel())
        except ValueError as error:
            problems.append(f"series: {error}")
        given = [("each", one) for one in self.each] + [("time", one) for one in self.time]
        for key, one in (*given, ("quality", self.quality), ("unit", self.unit)):
            try:
                path = paths.parse(one)
            except ValueError as error:
                problems.append(f"{key}: {error}")
                continue
            if key != "each" and not paths.is_plain(path):
                problems.append(f"{key}: {one!r} is not allowed, expected a path without wildcards")
        if problems:
            raise ConfigError(problems)
        try:
            format_kind(self.format).open(self)
        except ValueError as error:
            raise ConfigError([f"format: {error}"]) from error

    def rule(self, field: str) -> Rule:
        """Return the treatment of a field."""
        glob = longest_match(field, self.fields)
        own = {} if glob is None else self.fields[glob]
        values = {"decimal_comma": self.decimal_comma, **own}
        values["words"] = {**self.words, **own.get("words", {})}
        values["ignore"] = own.get("ignore", False) or any(fnmatch.fnmatchcase(field, glob) for glob in self.ignore)
        return Rule(**values)


KEYS = frozenset(one.name for one in fields(MappingSettings))


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of several layers; a later one replaces, and adds to objects and to the list ``ignore``."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            before = result.get(key)
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                result[key] = {**before, **value}
            elif key == "ignore" and isinstance(before, Sequence) and isinstance(value, list | tuple):
                result[key] = [*before, *value]
            else:
                result[key] = value
    return result


def load_mapping(*layers: Mapping[str, Any]) -> MappingSettings:
    """Return the settings of merged layers; raises ConfigError."""
    return load(MappingSettings, merged(*layers))
