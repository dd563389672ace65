"""Semantic versions and version ranges of recipes (https://semver.org, npm's range syntax); pure.

A range consists of alternatives joined by ``||``, each a list of conditions that must all hold: ``1.2.3``, ``=``,
``<``, ``<=``, ``>``, ``>=``, ``^1.2``, ``~1.2``, ``1.x``, ``*``, ``1.0.0 - 2.0.0``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import total_ordering

from device_sim.greengrass.errors import VersionError

_NUMBER = r"(?:0|[1-9]\d{0,8})"
_TAIL = r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
_VERSION = re.compile(rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER}){_TAIL}", re.ASCII)
_X = rf"(?:{_NUMBER}|[xX*])"
_PART = re.compile(
    rf"(?P<op>\^|~|<=|>=|<|>|=)?\s*v?(?P<major>{_X})(?:\.(?P<minor>{_X})(?:\.(?P<patch>{_X}){_TAIL})?)?", re.ASCII
)
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")
_SPACED = re.compile(r"(\^|~|<=|>=|<|>|=)\s+")


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """Semantic version without build metadata, which does not affect precedence."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}" + ("-" + ".".join(self.pre) if self.pre else "")

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[object, ...]:
        # Semver 11.4: numbers before texts, shorter before longer, and any pre-release before the release itself.
        pre = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre)
        return (self.major, self.minor, self.patch, not self.pre, pre)


def parse_version(raw: object) -> Version:
    """Return a version from ``MAJOR.MINOR.PATCH[-pre]``; raises VersionError."""
    match = _VERSION.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise VersionError(f"{raw!r} is not a version, MAJOR.MINOR.PATCH such as 1.0.2 is allowed")
    return Version(int(match["major"]), int(match["minor"]), int(match["patch"]), _pre(match["pre"]))


def _pre(raw: str | None) -> tuple[str, ...]:
    return tuple(raw.split(".")) if raw else ()


@dataclass(frozen=True, slots=True)
class _Condition:
    operator: str
    version: Version

    def holds(self, version: Version) -> bool:
        if self.operator == ">=":
            return version >= self.version
        if self.operator == ">":
            return version > self.version
        if self.operator == "<":
            return version < self.version
        if self.operator == "<=":
            return version <= self.version
        return version == self.version


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Versions that a dependency allows; ``text`` is the original text of the recipe."""

    text: str
    alternatives: tuple[tuple[_Condition, ...], ...]

    def __str__(self) -> str:
        return self.text

    def __contains__(self, version: Version) -> bool:
        return any(all(condition.holds(version) for condition in every) for every in self.alternatives)


def parse_range(raw: object) -> VersionRange:
    """Return a range; raises VersionError for malformed text."""
    if not isinstance(raw, str) or not raw.strip() or len(raw) > 500:
        raise VersionError(f"{raw!r} is not a version range, such as '>=1.0.0 <2.0.0', '^1.2.0' or '*'")
    try:
        return VersionRange(raw, tuple(tuple(_conditions(part.strip())) for part in raw.split("||")))
    except VersionError as error:
        raise VersionError(f"{raw!r} is not a version range: {error}") from error


def _conditions(part: str) -> Iterator[_Condition]:
    if match := _HYPHEN.fullmatch(part):
        yield from _bounds(">=", match[1])
        yield from _bounds("<=", match[2])
        return
    for word in _SPACED.sub(r"\1", part).replace(",", " ").split() or [""]:
        yield from _bounds("", word)


def _bounds(given: str, word: str) -> Iterator[_Condition]:
    match = _PART.fullmatch(word)
    if match is None or (given and match["op"]):
        raise VersionError(f"cannot read {word!r}")
    operator = given or match["op"] or "="
    numbers = [int(value) for value in _known(match)]
    low = _padded(numbers, _pre(match["pre"]))
    if len(numbers) == 3 and operator not in "^~":
        yield _Condition(operator, low)
    elif not numbers:
        if operator in ("<", ">"):
            raise VersionError(f"{word!r} allows no version at all")
        yield _Condition(">=", Version(0, 0, 0))
    else:
        yield from _span(operator, low, numbers)


def _padded(numbers: list[int], pre: tuple[str, ...] = ()) -> Version:
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return Version(major, minor, patch, pre)


def _known(match: re.Match[str]) -> Iterator[str]:
    """Yield the leading numbers; everything after an ``x`` is ignored."""
    for name in ("major", "minor", "patch"):
        if match[name] is None or match[name] in "xX*":
            return
        yield match[name]


def _span(operator: str, low: Version, numbers: list[int]) -> Iterator[_Condition]:
    """Yield the bounds of a caret, a tilde or a partial version."""
    if operator == "^":
        kept = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
    elif operator == "~":
        kept = min(1, len(numbers) - 1)
    else:
        kept = len(numbers) - 1
    bumped = [*numbers[:kept], numbers[kept] + 1]
    high = _padded(bumped)
    if operator in ("^", "~", "=", ">="):
        yield _Condition(">=", low)
    if operator in ("^", "~", "="):
        yield _Condition("<", high)
    if operator == ">":
        yield _Condition(">=", high)
    if operator == "<":
        yield _Condition("<", low)
    if operator == "<=":
        yield _Condition("<", high)
