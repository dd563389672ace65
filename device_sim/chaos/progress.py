"""Port for the progress of a run."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Display of the progress of one phase after the other."""

    def start(self, label: str, unit: str, done: int = 0) -> None:
        """Begin a phase of which ``done`` items are finished already."""

    def __call__(self, done: int, total: int) -> None:
        """Show the number of finished items and of all items."""

    def clear(self) -> None:
        """Remove the display until the next update, so that a line of the log can be printed."""


class NoProgress:
    """Display of nothing."""

    def start(self, label: str, unit: str, done: int = 0) -> None:
        """Ignore the phase."""

    def __call__(self, done: int, total: int) -> None:
        """Ignore the numbers."""

    def clear(self) -> None:
        """Leave the output as it is."""
