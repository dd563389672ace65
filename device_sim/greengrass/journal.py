"""Output of the nucleus: JSON lines on standard output for the parent process, and a structured log file."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time
from pathlib import Path
from typing import TextIO

from edge_components.common.health import JsonLines, stamp

LOG_BYTES, LOG_FILES = 5_000_000, 3


def start_logging(file: Path) -> logging.Logger:
    """Log everything to ``file`` and warnings to standard error, and return the nucleus' logger."""
    file_handler = logging.handlers.RotatingFileHandler(
        file, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8"
    )
    stderr_handler = logging.StreamHandler(sys.stderr)
    stderr_handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.handlers[:] = [file_handler, stderr_handler]
    for handler in root.handlers:
        handler.setFormatter(JsonLines())
    root.setLevel(logging.INFO)
    return logging.getLogger("nucleus")


class Journal:
    """Writer of one JSON line per state change; it stops when the reader has closed the stream."""

    def __init__(self, out: TextIO, log: logging.Logger) -> None:
        self._out, self._log = out, log
        self._closed = False

    def write(self, kind: str, **fields: object) -> None:
        """Write one line with the time, its ``type`` and the fields."""
        line = {"time": stamp(time.time()), "type": kind, **fields}
        self._log.info("%s", kind, extra={"fields": {key: value for key, value in line.items() if key != "time"}})
        if self._closed:
            return
        try:
            self._out.write(json.dumps(line, default=str) + "\n")
            self._out.flush()
        except (OSError, ValueError) as error:
            self._closed = True
            self._log.warning("standard output is closed, no more lifecycle lines are written: %s", error)
