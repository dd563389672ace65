"""The sources: each reads one kind of sensor and hands readings to the intake.

A source that waits for its sensor does so on its own thread and keeps what it hears raw; ``poll`` is called on the
component's loop and turns that into readings, so the rest needs no locks. A further kind is one module here and one
settings class in ``config.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Sink(Protocol):
    """Where a source puts readings; every method is called on the loop, from ``poll``."""

    def place(self, name: str, origin: str, unit: str = "", resolution: float | None = None) -> int:
        """Return the number of a series; raises RejectedError when it may not be."""

    def add(self, place: int, time_ms: int, value: float, quality: int = 0) -> None:
        """Take a reading: finite value, event time in milliseconds since the epoch, a wire.model.Quality."""

    def receipt(self, settle: Callable[[], None]) -> None:
        """Have ``settle`` called, on the loop, once the aggregator holds every reading handed over so far."""

    def reject(self, reason: str, text: str, amount: int = 1) -> None:
        """Count what could not be taken, and say once in a while where it came from and what is wrong with it."""


class Source(Protocol):
    """One kind of sensor."""

    def start(self) -> None:
        """Begin; raises SourceError when that cannot be (it is tried again)."""

    def poll(self, sink: Sink) -> None:
        """Hand over what has come since the last call; returns at once."""

    def close(self) -> None:
        """Stop reading; a last ``poll`` may follow. Safe to call when not started."""
