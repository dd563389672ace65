"""Progress of a long computation on standard error: share, rate and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[int, int], None]
"""Called with the number of finished items and of all items."""

TERMINAL_S, PIPE_S = 0.5, 10.0
"""Interval of the updates of a line on a terminal, and of the lines elsewhere."""


def no_progress(_done: int, _total: int) -> None:
    """Report nothing."""


class ProgressLine:
    """One line that is updated on a terminal, and a line every ten seconds elsewhere.

    Nothing is printed about a computation that ends within the first interval.
    """

    def __init__(
        self, label: str, unit: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._unit, self._clock = label, unit, clock
        self._out = sys.stderr if out is None else out
        self._every_s = TERMINAL_S if self._out.isatty() else PIPE_S
        self._began = self._printed = clock()
        self._width = 0

    def __call__(self, done: int, total: int) -> None:
        """Print the progress if it is due."""
        now = self._clock()
        if now - self._printed < self._every_s or done <= 0:
            return
        self._printed = now
        self._write(text(self._label, self._unit, done, total, now - self._began))

    def close(self) -> None:
        """Remove the line from a terminal."""
        if self._width:
            self._out.write(f"\r{' ' * self._width}\r")
            self._out.flush()

    def _write(self, line: str) -> None:
        if self._out.isatty():
            self._out.write(f"\r{line:<{self._width}}")
            self._width = len(line)
        else:
            self._out.write(f"{line}\n")
        self._out.flush()


def text(label: str, unit: str, done: int, total: int, seconds: float) -> str:
    """Return the progress as text."""
    rate = done / seconds if seconds > 0 else 0.0
    left = (total - done) / rate if rate > 0 else 0.0
    return f"{label}: {done / total:.0%}, {rate:,.0f} {unit}/s, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a duration such as 45 s, 3:05 min or 2:10 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"
