"""Counters of events, and logs as JSON lines.

The loop logs the counters of a component and publishes them on ``wire.topics.HEALTH``; the forwarder sends them to the
cloud in a notice.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping


class Counters:
    """Named counters, which only increase while the process lives. Thread-safe."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += amount

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        """Return all counts, by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))


def stamp(seconds: float) -> str:
    """Return a time as ISO 8601, UTC, with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


class JsonLines(logging.Formatter):
    """Formatter of one JSON object per line, with the record's ``extra={"fields": {...}}``."""

    def origin(self, record: logging.LogRecord) -> Mapping[str, str]:
        """Return the fields that name the source of a record."""
        return {"part": record.name}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {"time": stamp(record.created), "level": record.levelname, **self.origin(record)}
        line["message"] = record.getMessage()
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            line.update(fields)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class JsonFormatter(JsonLines):
    """Formatter of a component's log, with gateway and component."""

    def __init__(self, gateway: str, component: str) -> None:
        super().__init__()
        self._origin = {"gateway": gateway, "component": component}

    def origin(self, record: logging.LogRecord) -> Mapping[str, str]:
        """Return gateway and component."""
        return self._origin


def start_logging(gateway: str, component: str, level: str = "INFO") -> logging.Logger:
    """Send the root logger's records to standard output as JSON lines and return the component's logger."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(gateway, component))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    return logging.getLogger("strandline")
