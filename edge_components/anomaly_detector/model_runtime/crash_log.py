"""What a process that crashes says at last, for the one after it to read.

The interpreter's fault handler writes a few lines where a signal of the process' own making ends it (a segmentation
fault, an abort, an illegal instruction). A process that is killed from outside says nothing. That tells a model that
crashed the process from one that was at work, by chance, when memory ran out or the process was killed.
"""

from __future__ import annotations

import faulthandler
import logging
from pathlib import Path

LONGEST = 8_192


def begin(path: Path, log: logging.Logger) -> str:
    """Have this process' last words written to a file from now on; return the former one's first line, "" for none."""
    words = ""
    try:
        if path.exists():
            with path.open("rb") as file:
                words = file.read(LONGEST).decode(errors="replace").strip()
        faulthandler.enable(path.open("wb"), all_threads=False)
    except OSError as error:
        faulthandler.enable(all_threads=False)
        log.warning("last words of a crash go to the log alone: %s", error)
    if words:
        log.error("the process before this one crashed", extra={"fields": {"last_words": words}})
    return words.splitlines()[0] if words else ""
