"""The sources: each module reads one kind of sensor and passes readings to the intake.

A source that waits for its sensor does so on its own thread and keeps what arrives unparsed; ``poll`` is called on the
component's loop and turns that into readings, so the rest needs no locks. A kind is one module here, named after the
kind, with its :class:`Kind` as ``KIND``. A module is imported only when an entry of the configuration names it, and a
library that only this kind needs is imported when the source starts.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edge_components.common.ports import Clock


class Sink(Protocol):
    """The receiver of one source's readings; every method is called on the loop, from ``poll``."""

    def series_id(
        self, name: str, address: str, unit: str = "", resolution: float | None = None, *, wait: bool = False
    ) -> int:
        """Return the id of the series that ``address`` (a topic, a register) provides; raises RejectedError.

        Where another address provides it, that is a series with a name of its own; with ``wait`` raises CollisionError.
        """

    def extend(
        self,
        series_ids: Sequence[int],
        times_ms: Sequence[int],
        values: Sequence[float],
        qualities: Sequence[int],
        arrived: float,
    ) -> None:
        """Add readings as columns: finite values, event times in milliseconds since the epoch, wire.model.Quality.

        ``arrived`` is the monotonic time of their arrival.
        """

    def when_stored(self, acknowledge: Callable[[], None]) -> None:
        """Call ``acknowledge`` on the loop once the aggregator has stored all readings added so far."""

    def reject(self, reason: str, text: str, count: int = 1, *, key: str = "") -> None:
        """Count a rejection, and log it at a limited rate; ``key`` names its place in the source."""


class Source(Protocol):
    """One configured origin of readings. Every method is called on the loop and must not block."""

    def start(self) -> None:
        """Start; raises SourceError if that fails (it is retried)."""

    def poll(self, sink: Sink) -> None:
        """Pass the readings that have arrived since the last call to the sink."""

    def next_poll_s(self) -> float:
        """Return the seconds until the next poll, unless the source wakes the loop before; infinite for never."""

    def blocked(self) -> bool:
        """Return whether the sender is blocked until it receives acknowledgements."""

    def forget(self, address: str) -> None:
        """Drop what is cached of an address whose series was forgotten or is provided by another address now."""

    def health(self) -> Mapping[str, Any]:
        """Return the state for the health report, empty when there is nothing to report."""

    def close(self) -> None:
        """Stop reading; a last ``poll`` may follow. Safe to call when not started."""


class EventLog(Protocol):
    """A source's counters and rate-limited log; any thread may use it."""

    def count(self, reason: str, count: int = 1) -> None:
        """Count without logging."""

    def info(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Count and log an event that is not a fault."""

    def warning(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Count and log a fault after which the source continues."""

    def error(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Count and log a fault that interrupts the source."""


@dataclass(frozen=True, slots=True)
class Context:
    """Services for one source."""

    name: str
    """The entry's name."""
    gateway: str
    clock: Clock
    log: EventLog
    wake: Callable[[], None]
    """Wakes the loop; any thread may call it."""
    work: Path
    """The component's work folder."""
    hold_s: Callable[[], float]
    """Returns the maximum seconds that a reading waits for others before the loop is woken."""


class Level(enum.StrEnum):
    """Levels of the quality scale of sources; docs/sources.md has the rules of each."""

    NONE = "none"
    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    PLATINUM = "platinum"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of source."""

    settings: type[Any]
    """A dataclass of the fields of edge_components.common.config: the keys of an entry beside ``name`` and ``kind``."""
    open: Callable[[Any, Context], Source]
    """Returns a source from checked settings; it does not connect yet."""
    read: Callable[[Mapping[str, Any]], Any] | None = None
    """Returns the settings from an entry's values where loading ``settings`` is not enough; raises ConfigError."""
    claims: Callable[[Any], str | None] | None = None
    """Returns the resource that only one entry can use, such as a serial port; None without one."""
    level: Level = Level.NONE
    """The level that the tests of this kind show."""
    inapplicable: Mapping[str, str] = field(default_factory=dict)
    """Rules of the quality scale that cannot apply to this kind, each with the reason."""
