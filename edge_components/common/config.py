"""Declaration, documentation and validation of a component's configuration: the fields of a frozen dataclass.

A component's ``config.py`` declares ``Config`` with :func:`integer`, :func:`number`, :func:`text`, :func:`texts`,
:func:`flag` and :func:`mapping` fields. :func:`load` creates it from the nucleus' mapping, or raises ConfigError with
a sentence for each invalid key. Nucleus lite delivers every scalar as a string, so each field also reads strings.
``Config.__post_init__`` checks relations between fields and raises ConfigError.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from edge_components.common.errors import ConfigError

C = TypeVar("C")
E = TypeVar("E")
RESERVED = frozenset({"accessControl"})
"""Keys of the component's configuration that belong to Greengrass."""

MAX_PROBLEMS = 100
"""Maximum number of reported problems: finding a similar key for each takes time."""


_PATH = r"/[^\x00-\x1f]{0,1023}"


@runtime_checkable
class HasRetiredKeys(Protocol):
    """Configuration of which earlier versions had further keys; these are ignored, since Greengrass keeps them."""

    RETIRED: ClassVar[frozenset[str]]


@runtime_checkable
class HasReplacedKeys(Protocol):
    """Configuration with a description of the replacement of each key that earlier versions had."""

    REPLACED: ClassVar[Mapping[str, str]]


class _NotAllowedError(ValueError):
    """A value is not allowed; the text states the allowed values."""


def _field(default: Any, read: Callable[[Any], Any], allowed: str, doc: str, *, structured: bool = False) -> Any:
    metadata = {"read": read, "allowed": allowed, "doc": doc, "default": default}
    if isinstance(default, dict | list) or structured:
        # The default is read like a configured value, so that a missing key and one set to its default are equal.
        return dataclasses.field(default_factory=lambda: read(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def integer(default: int, low: int, high: int, doc: str) -> Any:
    """Declare a whole number from ``low`` to ``high``."""
    allowed = f"a whole number from {low} to {high}"

    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _NotAllowedError(allowed)
        return value

    return _field(default, read, allowed, doc)


def number(default: float, low: float, high: float, doc: str) -> Any:
    """Declare a finite number from ``low`` to ``high``."""
    allowed = f"a number from {low:g} to {high:g}"

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise _NotAllowedError(allowed)
        try:
            result = float(value) if not (isinstance(value, str) and "_" in value) else math.nan
        except (ValueError, OverflowError) as error:
            raise _NotAllowedError(allowed) from error
        if not math.isfinite(result) or not low <= result <= high:
            raise _NotAllowedError(allowed)
        return result

    return _field(default, read, allowed, doc)


def flag(default: bool, doc: str) -> Any:
    """Declare a switch: true or false."""

    def read(value: Any) -> bool:
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        if not isinstance(value, bool):
            raise _NotAllowedError("true or false")
        return value

    return _field(default, read, "true or false", doc)


def text(
    default: str, doc: str, *, choices: tuple[str, ...] = (), pattern: str = r".{0,1024}", allowed: str = ""
) -> Any:
    """Declare a string: one of ``choices``, or one that matches ``pattern`` completely."""
    allowed = allowed or (f"one of {', '.join(choices)}" if choices else f"text that matches {pattern}")

    def read(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _NotAllowedError(allowed)
        result = str(value)
        if (choices and result not in choices) or not re.fullmatch(pattern, result):
            raise _NotAllowedError(allowed)
        return result

    return _field(default, read, allowed, doc)


def absolute_path(doc: str, default: str = "") -> Any:
    """Declare an absolute path, which may be empty if the default is."""
    if default:
        return text(default, doc, pattern=_PATH, allowed="an absolute path")
    return text("", doc, pattern=f"({_PATH})?", allowed="an absolute path, or empty")


def texts(default: list[str], doc: str, *, pattern: str, allowed: str) -> Any:
    """Declare a list of distinct strings, read as a tuple, each of which matches ``pattern`` completely."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(
            isinstance(item, str) and re.fullmatch(pattern, item) for item in value
        ):
            raise _NotAllowedError(allowed)
        if len(set(value)) < len(value):
            raise _NotAllowedError(f"{allowed}, each once")
        return tuple(value)

    return _field(default, read, allowed, doc)


def mapping(default: dict[str, Any] | list[Any] | str, read: Callable[[Any], Any], allowed: str, doc: str) -> Any:
    """Declare a structured value; ``read`` returns the validated value or raises ValueError or ConfigError."""
    return _field(default, read, allowed, doc, structured=True)


def objects(value: Any, allowed: str) -> list[Mapping[str, Any]]:
    """Return a list of objects; raises ValueError with ``allowed`` for any other value."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise ValueError(allowed)
    return list(value)


def read_list(
    key: str,
    items: Iterable[Any],
    read: Callable[[Any], E],
    name: Callable[[E], str],
    *,
    name_key: str = "name",
    label: Callable[[int, Any], str | int] = lambda index, item: index,
) -> tuple[E, ...]:
    """Return the items of the list ``key``, each read by ``read``, whose ``name`` (in ``name_key``) must be unique.

    Raises ConfigError with a sentence for each invalid key. It begins with the list's key and the item's ``label``.
    """
    problems: list[str] = []
    found: dict[str, E] = {}
    for index, item in enumerate(items):
        try:
            entry = read(item)
        except ConfigError as error:
            problems += (f"{key}[{label(index, item)}].{problem}" for problem in error.problems)
            continue
        if name(entry) in found:
            shown = _shown(name(entry))
            problems.append(f"{key}[{index}].{name_key}: {shown} is not allowed, expected each {name_key} once")
        found[name(entry)] = entry
    if problems:
        raise ConfigError(problems)
    return tuple(found.values())


def load(kind: type[C], values: Mapping[str, Any]) -> C:
    """Return ``kind`` (a dataclass of the fields above) from the nucleus' mapping.

    Keys of :class:`HasRetiredKeys` are ignored. Raises ConfigError with a sentence for each invalid key: its name, its
    value and the allowed values, or the replacement of :class:`HasReplacedKeys`. A structured field adds a sentence for
    each invalid key inside.
    """
    retired: frozenset[str] = kind.RETIRED if isinstance(kind, HasRetiredKeys) else frozenset()
    replaced: Mapping[str, str] = kind.REPLACED if isinstance(kind, HasReplacedKeys) else {}
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]  # C is always a dataclass
    problems: list[str] = []
    known: dict[str, Any] = {}
    for key, value in values.items():
        if key in RESERVED or key in retired:
            continue
        if len(problems) >= MAX_PROBLEMS:
            problems.append("and more")
            break
        if key in replaced:
            problems.append(f"{key}: this key was replaced by {replaced[key]}")
            continue
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            problems.append(f"{key}: unknown key" + (f", did you mean {near[0]}?" if near else ""))
            continue
        try:
            known[key] = fields[key].metadata["read"](value)
        except ConfigError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"{key}: {_shown(value)} is not allowed, expected {error}")
    if problems:
        raise ConfigError(problems)
    return kind(**known)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 120 else shown[:117] + "..."


def table(kind: type[Any]) -> str:
    """Return the configuration as the Markdown table of the component's README."""
    lines = ["| key | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    for f in dataclasses.fields(kind):
        default = f.metadata["default"]
        shown = default if isinstance(default, str) and default else json.dumps(default)
        allowed = f.metadata["allowed"].replace("|", "\\|")
        lines.append(f"| `{f.name}` | `{shown}` | {allowed} | {f.metadata['doc']} |")
    return "\n".join(lines) + "\n"
