"""Validation of a JSON object key by key: every problem is collected as one sentence, and raised together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloud_functions.core.errors import RequestError
from cloud_functions.core.globs import MAX_GLOB

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
STORED = frozenset({"version", "updated_ms", "updated_by"})
"""Keys that a stored document carries beside its own; they are accepted and ignored, so an answer can be sent back."""
MAX_TEXT = 1_000
MAX_MS = 9_999_999_999_999
MAX_SECONDS = 31_536_000


class Fields:
    """The keys of one object. A read value that is invalid adds to ``problems`` and the default is returned."""

    def __init__(self, body: object, path: str = "", problems: list[str] | None = None) -> None:
        self.problems: list[str] = problems if problems is not None else []
        self._path, self._read = path, set[str]()
        self._body: Mapping[str, Any] = {}
        if isinstance(body, Mapping):
            self._body = body
        else:
            self.problem("", f"an object, not {type(body).__name__}")

    def problem(self, key: str, text: str) -> None:
        """Add a problem of a key."""
        name = f"{self._path}.{key}".strip(".") if self._path else key
        self.problems.append(f"{name[:100] or 'body'}: {text}")

    def __contains__(self, key: str) -> bool:
        return self._body.get(key) is not None

    def raw(self, key: str) -> Any:
        """Return the value of a key as it is, None if absent."""
        self._read.add(key)
        return self._body.get(key)

    def name(self, key: str = "name") -> str:
        """Return the name of a document; it may be absent where the path of a request names it."""
        value = self.raw(key)
        if value is None:
            return ""
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        self.problem(key, f"{value!r:.80}: 1 to 64 of A-Z a-z 0-9 _ . -, the first a letter or digit")
        return ""

    def text(self, key: str, default: str | None = "", longest: int = MAX_TEXT) -> str:
        """Return a text of printable characters; ``default`` None: it is required."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and len(value) <= longest and _is_clean(value) and (value or default is not None):
            return value
        self.problem(key, f"{value!r:.80}: a text of at most {longest} printable characters")
        return default or ""

    def glob(self, key: str, default: str = "*") -> str:
        """Return a pattern of names."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, str) and 1 <= len(value) <= MAX_GLOB and _is_clean(value):
            return value
        self.problem(key, f"{value!r:.80}: a pattern of 1 to {MAX_GLOB} characters, such as pump*/temperature")
        return default

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        self.problem(key, f"{value!r:.80}: true or false")
        return default

    def number(self, key: str, *, at_least: float | None = None) -> float | None:
        """Return a finite number, None if absent."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
            if at_least is None or value >= at_least:
                return float(value)
            self.problem(key, f"{value!r:.80}: {at_least:g} or more")
            return None
        self.problem(key, f"{value!r:.80}: a number")
        return None

    def seconds(self, key: str, default: float | None, *, least: float = 0) -> float:
        """Return a duration in seconds of ``least`` to a year; ``default`` None: it is required."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        known = isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
        if known and least <= value <= MAX_SECONDS:
            return float(value)
        self.problem(key, f"{value!r:.80}: seconds from {least:g} to {MAX_SECONDS}")
        return default if default is not None else least

    def time_ms(self, key: str) -> int | None:
        """Return a time in milliseconds since 1970, None if absent."""
        value = self.raw(key)
        if value is None:
            return None
        if type(value) is int and 0 <= value <= MAX_MS:
            return value
        self.problem(key, f"{value!r:.80}: a whole number of milliseconds since 1970, up to 2286")
        return None

    def choice(self, key: str, allowed: Sequence[str], default: str | None) -> str:
        """Return one of several texts; ``default`` None: it is required."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value in allowed:
            return value
        self.problem(key, f"{value!r:.80}: one of {', '.join(allowed)}")
        return default if default is not None else allowed[0]

    def choices(self, key: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """Return a list of some of several texts, in the order of ``allowed``; empty if absent."""
        value = self.raw(key)
        if value is None:
            return ()
        if isinstance(value, list) and value and all(isinstance(one, str) and one in allowed for one in value):
            return tuple(one for one in allowed if one in value)
        self.problem(key, f"{value!r:.80}: a list of {', '.join(allowed)}")
        return ()

    def names(self, key: str, *, required: bool, most: int = 20) -> tuple[str, ...]:
        """Return a list of names of other documents, each once."""
        value = self.raw(key)
        if value is None and not required:
            return ()
        valid = isinstance(value, list) and len(value) <= most and (value or not required)
        if valid and all(isinstance(one, str) and NAME.fullmatch(one) for one in value):
            return tuple(dict.fromkeys(value))
        self.problem(key, f"{value!r:.80}: a list of {'1' if required else '0'} to {most} names")
        return ()

    def child(self, key: str) -> Fields:
        """Return the fields of an object within this one; problems are collected together."""
        path = f"{self._path}.{key}".strip(".")
        return Fields(self.raw(key), path, self.problems)

    def unknown(self, ignored: Iterable[str] = ()) -> None:
        """Add a problem for each key that was not read."""
        known = ", ".join(sorted(self._read))
        for key in self._body:
            if key not in self._read and key not in ignored:
                self.problem(str(key)[:80], f"no such key; there are {known}")

    def finish(self) -> None:
        """Raise RequestError if there was any problem."""
        self.unknown(STORED)
        if self.problems:
            raise RequestError(self.problems)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value) and abs(value) <= 1e300
    except OverflowError:
        return False


def _is_clean(text: str) -> bool:
    """Return True for text that UTF-8 can encode, without control characters except for line feeds and tabs."""
    return all(character.isprintable() or character in "\n\t" for character in text)


def whole(value: float) -> int | float:
    """Return a number as JSON shows it best: without a fraction of zero."""
    return int(value) if value.is_integer() else value
