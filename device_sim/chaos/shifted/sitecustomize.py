"""Shift the wall clock of a Python process by the seconds in the file ``offset`` beside this one.

Python imports this module at its start when its folder is on PYTHONPATH. The monotonic clock does not change.
"""

import time
from pathlib import Path

_OFFSET = Path(__file__).with_name("offset")
_time, _time_ns = time.time, time.time_ns


def _seconds() -> int:
    return int(_OFFSET.read_text())


def _shifted() -> float:
    return _time() + _seconds()


def _shifted_ns() -> int:
    return _time_ns() + _seconds() * 1_000_000_000


time.time, time.time_ns = _shifted, _shifted_ns
