"""Progress of a long computation on standard error: share, rate and time left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

Progress = Callable[[int, int], None]
"""Called with the number of finished items and of all items."""

TERMINAL_S, PIPE_S = 0.5, 10.0
"""Interval of the updates of a line on a terminal, and of the lines elsewhere."""


def no_progress(_done: int, _total: int) -> None:
    """Report nothing."""


class ProgressLine:
    """One line that is updated on a terminal, and a line every ten seconds elsewhere; a context manager.

    Nothing is printed about a computation that ends within the first interval, and nothing at all if ``quiet``.
    ``at_most`` marks the time left as an upper limit, for a computation that may stop early. Calls and
    :meth:`clear` may come from several threads.
    """

    def __init__(
        self,
        label: str,
        unit: str,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        quiet: bool = False,
        at_most: bool = False,
    ) -> None:
        self._clock, self._quiet, self._at_most = clock, quiet, at_most
        self._out = sys.stderr if out is None else out
        self._every_s = TERMINAL_S if self._out.isatty() else PIPE_S
        self._width = 0
        self._lock = threading.RLock()
        self.start(label, unit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.clear()

    def start(self, label: str, unit: str, done: int = 0) -> None:
        """Begin a new computation of which ``done`` items are finished already."""
        with self._lock:
            self._label, self._unit, self._first = label, unit, done
            self._began = self._printed = self._clock()

    def __call__(self, done: int, total: int) -> None:
        """Print the progress if it is due."""
        if self._quiet or done <= 0:
            return
        with self._lock:
            now = self._clock()
            if now - self._printed < self._every_s:
                return
            self._printed = now
            self._write(
                text(self._label, self._unit, done, total, now - self._began, first=self._first, at_most=self._at_most)
            )

    def clear(self) -> None:
        """Remove the line from a terminal, so that other text can be printed; the next update shows it again."""
        with self._lock:
            if self._width:
                self._out.write(f"\r{' ' * self._width}\r")
                self._out.flush()
                self._width = 0

    def _write(self, line: str) -> None:
        if self._out.isatty():
            self._out.write(f"\r{line:<{self._width}}")
            self._width = max(self._width, len(line))
        else:
            self._out.write(f"{line}\n")
        self._out.flush()


def text(label: str, unit: str, done: int, total: int, seconds: float, *, first: int = 0, at_most: bool = False) -> str:
    """Return the progress as text; ``first`` items were finished before the ``seconds`` began."""
    rate = (done - first) / seconds if seconds > 0 else 0.0
    if done < total and rate <= 0:
        left = "time left unknown"
    else:
        limit = "at most " if at_most else ""
        left = f"{limit}{duration((total - done) / rate if done < total else 0.0)} left"
    return f"{label}: {done / total:.0%}, {_rate(max(rate, 0.0))} {unit}/s, {left}"


def _rate(rate: float) -> str:
    """Return a rate as a whole number, and a small one with two digits."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def duration(seconds: float) -> str:
    """Return a duration such as 45 s, 3:05 min or 2:10 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"
