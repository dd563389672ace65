"""Names of series: from topic levels, fields and constants, and from any UTF-8 text by escaping. Pure.

A space becomes ``_``, another character that a name may not have its code point in hexadecimal between underscores
(``ß`` is ``_df_``); a name that would not begin with a letter or digit gets ``x`` in front. The last colon
of a name that is reserved for a statistic of windows, such as ``flow:p95``, is replaced, too. So names are stable, and
two texts that differ get two names but for rare cases, which are reported as collisions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.mapping import paths
from edge_components.sensor_reader.mapping.paths import Path
from wire.model import MAX_NAME, is_statistic

_ODD = re.compile(r"[^A-Za-z0-9\-:./_]")
_PART = re.compile(r"\{([^{}]*)\}")
_DOTS = re.compile(r"\.{2,}")
_INDEX = re.compile(r"(?:^|\.)(\d+(?:\.\d+)*)\Z")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def escape(text: str) -> str:
    """Return a valid name for any text; raises RejectedError for an empty one and one that is too long."""
    name = _ODD.sub(lambda match: "_" if match[0] == " " else f"_{ord(match[0]):x}_", text)
    if not name:
        raise RejectedError("rejected_name", "the name is empty")
    if not (name[0].isascii() and name[0].isalnum()):
        name = f"x{name}"
    if is_statistic(name):
        name = "_3a_".join(name.rsplit(":", 1))
    if len(name) > MAX_NAME:
        raise RejectedError("rejected_name", f"the name {name[:60]}... has {len(name)} characters, at most {MAX_NAME}")
    return name


class AnyLevel(Sequence[str]):
    """Levels of a topic that is not known yet: contains every name."""

    def __contains__(self, level: object) -> bool:
        return True

    def __getitem__(self, index: Any) -> Any:
        raise IndexError

    def __len__(self) -> int:
        return 0


class NameTemplate:
    """A name with placeholders: ``{level}`` of the topic, ``{field}``, ``{each}``, ``{.path}`` into the payload.

    ``{index}`` is the place of a value in its array. It is empty for a value that is not in an array, and ``{.path?}``
    for a path that is absent from the payload: the name has neither it nor the dot beside it then. The empty template
    joins all levels that the topic pattern takes and the field by dots. Raises ValueError.
    """

    def __init__(self, template: str, levels: Sequence[str] = ()) -> None:
        self._parts: list[tuple[str, str]] = []
        self.payload_paths: list[Path] = []
        """The paths whose values a name takes from the payload."""
        self.optional_paths: set[Path] = set()
        """The paths among them that a payload need not have."""
        self.uses_each = False
        self._uses_index = "{index}" in template
        at = 0
        for match in _PART.finditer(template):
            self._parts.append(("text", template[at : match.start()]))
            self._parts.append(self._placeholder(match[1], levels))
            at = match.end()
        self._parts.append(("text", template[at:]))
        if "{" in "".join(text for kind, text in self._parts if kind == "text"):
            raise ValueError(f"{template[:80]!r}: a brace that is not closed")
        self._default = not template

    def _placeholder(self, word: str, levels: Sequence[str]) -> tuple[str, str]:
        if word.startswith("."):
            path = paths.parse(word[1:].removesuffix("?"))
            if not path or not paths.is_plain(path):
                raise ValueError(f"{{{word[:40]}}} is not a path without wildcards")
            self.payload_paths.append(path)
            if word.endswith("?"):
                self.optional_paths.add(path)
            return "payload", str(len(self.payload_paths) - 1)
        if word == "each":
            self.uses_each = True
            return "each", ""
        if word in ("field", "index"):
            return word, ""
        if not _WORD.match(word) or word not in levels:
            known = ", ".join(f"{{{one}}}" for one in (*levels, "field", "index", "each", ".path"))
            raise ValueError(f"{{{word[:40]}}} is not one of {known}")
        return "level", word

    def render(self, levels: Mapping[str, str], field: str, each: str = "", extras: Sequence[str] = ()) -> str:
        """Return the name, not escaped."""
        if self._default:
            return ".".join([*levels.values(), *([field] if field else [])])
        found = []
        for kind, word in self._parts:
            if kind == "level":
                found.append(levels[word])
            elif kind == "payload":
                found.append(extras[int(word)])
            else:
                found.append({"field": field, "index": _index(field), "each": each}.get(kind, word))
        name = "".join(found)
        return _DOTS.sub(".", name).strip(".") if self.optional_paths or self._uses_index else name


def _index(field: str) -> str:
    """Return the indexes at the end of a field, joined by dots, empty for a field without one."""
    match = _INDEX.search(field)
    return match[1] if match else ""
