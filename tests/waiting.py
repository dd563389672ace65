"""Wait for a condition with a deadline, in place of a fixed sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def pause(seconds: float = 0.02) -> None:
    """Do nothing for a time between two checks of a condition."""
    threading.Event().wait(seconds)


def until(
    condition: Callable[[], T | None],
    what: str | Callable[[], object],
    seconds: float = 90.0,
    between: Callable[[], object] = pause,
) -> T:
    """Return the first result of ``condition`` that is true; fail the test after ``seconds``.

    ``what`` is the awaited condition in words, or returns what the failure shows. ``between`` is called between two
    checks; the default is a short pause.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        between()
    return found
