"""The payload formats: each module turns payloads of one format into columns of measurements. Pure.

A format is one module here with its :class:`FormatKind` as ``FORMAT``. It is named after its module, with ``+`` in
place of ``_``. Names, units, scales and times are the task of edge_components.sensor_reader.mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.mapping.values import Rule

SEPARATOR = "\x1f"
"""Divides a field from the values that its series' name takes from the payload."""


class Relative(NamedTuple):
    """A time as a distance in milliseconds from the arrival, negative for the past."""

    ms: int


@dataclass(slots=True)
class Columns:
    """Measurements of many payloads, as columns of equal length in the order of the payloads.

    ``payloads`` has the index of the payload that a measurement comes from. ``fields`` names it within its topic, and
    is empty where the payload as a whole is the measurement. ``values``, ``times`` and ``qualities`` are as written,
    None for absent. ``units`` is empty where the payload does not give one.
    """

    payloads: list[int] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)
    qualities: list[Any] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    rejections: list[tuple[int, RejectedError]] = field(default_factory=list)
    """Rejections: the index of a payload, and the reason for which it or one of its measurements is rejected."""
    skipped: int = 0
    """The number of fields that are not measurements, such as texts."""
    nulls: int = 0
    """The number of fields that are null, where that is usual."""
    replies: list[tuple[str, bytes]] = field(default_factory=list)
    """Publications to send to the device, such as a request for its birth certificate."""

    def __len__(self) -> int:
        return len(self.payloads)

    def add(self, payload: int, name: str, value: Any, time: Any = None, quality: Any = None, unit: str = "") -> None:
        """Append one measurement."""
        self.payloads.append(payload)
        self.fields.append(name)
        self.values.append(value)
        self.times.append(time)
        self.qualities.append(quality)
        self.units.append(unit)


class FormatSettings(Protocol):
    """The keys of a mapping that formats read: those of mapping.settings.MappingSettings."""

    @property
    def series(self) -> str:
        """The name of a series, with placeholders."""

    @property
    def each(self) -> tuple[str, ...]:
        """Paths to the elements that are readings."""

    @property
    def value(self) -> tuple[str, ...]:
        """Paths to the values."""

    @property
    def time(self) -> tuple[str, ...]:
        """Paths to the event time or names of its column; the first that exists counts."""

    @property
    def quality(self) -> str:
        """Path to the quality, or the name of its column."""

    @property
    def unit(self) -> str:
        """Path to the unit, or the name of its column."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values in their order."""

    @property
    def separator(self) -> str:
        """The character between columns; empty finds it."""

    @property
    def layout(self) -> str:
        """The layout of binary payloads."""

    @property
    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The treatment of fields, by globs over fields."""

    @property
    def decimal_comma(self) -> bool:
        """True where numbers in text have a decimal comma."""

    @property
    def plain_text(self) -> bool:
        """True where a payload that is not JSON is one value in text."""

    def rule(self, field: str) -> Rule:
        """Return the treatment of a field."""


class Format(Protocol):
    """A parser of one format for one binding; it may keep state between payloads."""

    def parse_all(self, topics: Sequence[bytes], payloads: Sequence[bytes], into: Columns) -> None:
        """Append the measurements of payloads; one that cannot be parsed is rejected without affecting others."""


class PayloadFormat:
    """Base of the formats that parse one payload after the other."""

    def parse_all(self, topics: Sequence[bytes], payloads: Sequence[bytes], into: Columns) -> None:
        """See :class:`Format`."""
        for index, payload in enumerate(payloads):
            try:
                self.parse(topics[index], payload, into, index)
            except RejectedError as error:
                into.rejections.append((index, error))

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the measurements of one payload; raises RejectedError."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class FormatKind:
    """One payload format."""

    open: Callable[[FormatSettings], Format]
    """Returns a parser; raises ValueError for settings that cannot work together."""
    complete_names: bool = False
    """True where a field is a full name by itself, so that a topic pattern needs no placeholder."""
    topics_of_type: bool = False
    """True where a topic has the type of a message: one origin uses several, and a field identifies it by itself."""
