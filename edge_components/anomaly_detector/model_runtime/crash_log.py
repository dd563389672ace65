"""Crash log: the lines that Python's fault handler writes when a process crashes, for the next process to read.

The fault handler writes when a signal of the process itself ends it (segmentation fault, abort, illegal instruction),
but not when the process is killed from outside. So a model that crashed the process can be distinguished from one whose
call happened to be running when the process was killed or memory ran out.
"""

from __future__ import annotations

import faulthandler
import logging
from pathlib import Path

MAX_BYTES = 8_192


def begin(path: Path, log: logging.Logger) -> str:
    """Start this process' crash log in a file; return the first line of the previous process' log, "" if empty."""
    text = ""
    try:
        if path.exists():
            with path.open("rb") as file:
                text = file.read(MAX_BYTES).decode(errors="replace").strip()
        faulthandler.enable(path.open("wb"), all_threads=False)
    except OSError as error:
        faulthandler.enable(all_threads=False)
        log.warning("a crash is logged to standard error only: %s", error)
    if text:
        log.error("the process before this one crashed", extra={"fields": {"crash_log": text}})
    return text.splitlines()[0] if text else ""
