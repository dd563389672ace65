"""The payload formats: each module turns payloads of one format into columns of measurements. Pure.

A format is one module here with its :class:`FormatKind` as ``FORMAT``. It is named after its module, with ``+`` in
place of ``_``. Names, units, scales and times are the task of edge_components.sensor_reader.mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from edge_components.sensor_reader.errors import RejectedError

if TYPE_CHECKING:
    from edge_components.sensor_reader.mapping.settings import MappingSettings

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

    open: Callable[[MappingSettings], Format]
    """Returns a parser; raises ValueError for settings that cannot work together."""
    complete_names: bool = False
    """True where a field is a full name by itself, so that a topic pattern needs no placeholder."""
    topics_of_type: bool = False
    """True where a topic has the type of a message: one origin uses several, and a field identifies it by itself."""
