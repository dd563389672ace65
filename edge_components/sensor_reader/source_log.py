"""Log of one source, which counts events for the component and for the source, and keeps the last error."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from edge_components.common.limited_log import RateLimitedLog

_MAX_ERROR = 200


class SourceLog:
    """See edge_components.sensor_reader.sources.EventLog; any thread may use it."""

    def __init__(self, name: str, log: RateLimitedLog) -> None:
        self._name, self._log = name, log
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last_error = ""

    def count(self, reason: str, count: int = 1) -> None:
        """Count without logging."""
        self._note(reason, count)
        self._log.count(reason, count)

    def info(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Count and log an event that is not a fault."""
        self._note(reason, count)
        self._log.info(reason, self._named(message), count, key=self._key(key))

    def warning(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Count and log a fault after which the source continues."""
        self._note(reason, count, message)
        self._log.warning(reason, self._named(message), count, key=self._key(key))

    def error(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Count and log a fault that interrupts the source."""
        self._note(reason, count, message)
        self._log.error(reason, self._named(message), count, key=self._key(key))

    def exception(self, reason: str, message: str) -> None:
        """Log as :meth:`error`, with the traceback of the exception that is being handled."""
        self._note(reason, 1, message)
        self._log.exception(reason, self._named(message), key=self._name)

    def health(self) -> Mapping[str, Any]:
        """Return the source's counters and its last error, if any."""
        with self._lock:
            state: dict[str, Any] = {"counters": dict(sorted(self._counts.items()))} if self._counts else {}
            if self._last_error:
                state["last_error"] = self._last_error
            return state

    def _note(self, reason: str, count: int, error: str = "") -> None:
        with self._lock:
            self._counts[reason] += count
            if error:
                self._last_error = f"{reason}: {error}"[:_MAX_ERROR]

    def _named(self, message: str) -> str:
        return f"source {self._name}: {message}"

    def _key(self, key: str) -> str:
        return f"{self._name} {key}" if key else self._name
