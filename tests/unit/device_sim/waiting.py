"""Wait on a condition with a deadline, in place of a fixed sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def until(condition: Callable[[], object], what: str, timeout: float = 60.0) -> None:
    """Return once ``condition`` holds; fail the test with ``what`` after ``timeout`` seconds."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        pause.wait(0.02)
