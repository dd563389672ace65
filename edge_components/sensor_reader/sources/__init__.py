"""The sources: each reads one kind of sensor and passes readings to the intake.

A source that waits for its sensor does so on its own thread and keeps what arrives unparsed; ``poll`` is called on the
component's loop and turns that into readings, so the rest needs no locks. A further kind is one module here and one
settings class in ``config.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Sink(Protocol):
    """The receiver of one source's readings; every method is called on the loop, from ``poll``."""

    def series_id(self, name: str, place: str, unit: str = "", resolution: float | None = None) -> int:
        """Return the id of the series that ``place`` (a topic, a register) provides; raises RejectedError."""

    def extend(
        self,
        series_ids: Sequence[int],
        times_ms: Sequence[int],
        values: Sequence[float],
        qualities: Sequence[int],
        arrived: float,
    ) -> None:
        """Take readings as columns: finite values, event times in milliseconds since the epoch, wire.model.Quality.

        ``arrived`` is the monotonic time of their arrival.
        """

    def when_stored(self, acknowledge: Callable[[], None]) -> None:
        """Have ``acknowledge`` called, on the loop, once the aggregator has stored every reading taken so far."""

    def reject(self, reason: str, text: str, count: int = 1, *, key: str = "") -> None:
        """Count what could not be taken, and log it at a limited rate; ``key`` names its place in the source."""


class Source(Protocol):
    """One configured origin of readings."""

    def start(self) -> None:
        """Begin; raises SourceError when that is not possible (it is retried)."""

    def poll(self, sink: Sink) -> None:
        """Pass on what has arrived since the last call; returns at once."""

    def next_poll_s(self) -> float:
        """Return the seconds until the next poll, unless the source wakes the loop before; infinite for never."""

    def blocked(self) -> bool:
        """Return whether the sender waits for acknowledgements and sends nothing until it has some."""

    def forget(self, place: str) -> None:
        """Drop what is cached of a place whose series was forgotten or is provided by another place now."""

    def health(self) -> Mapping[str, Any]:
        """Return the state for the health report, empty when there is nothing to report."""

    def close(self) -> None:
        """Stop reading; a last ``poll`` may follow. Safe to call when not started."""
