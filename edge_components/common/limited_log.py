"""A log that is limited by reason and key, with summaries of the suppressed lines and the worst keys of each reason.

A sensor that sends unreadable payloads a thousand times per second must neither fill the disk with log lines nor hide
other sensors that do so. So each key (a topic, a series) of a reason has its own limit, and a reason has a limit over
all its keys. Memory is bounded: the keys of a reason are counted in a space-saving sketch (Metwally, Agrawal and
El Abbadi, 2005), which finds the most frequent keys with a fixed number of entries.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from edge_components.common.health import Counters
from edge_components.common.ports import Clock

INTERVAL_SECONDS = 60.0
WORST_SECONDS = 3600.0
LINES_PER_INTERVAL = 10
WORST_KEYS = 5
MAX_KEYS = 128
MAX_KEY_LENGTH = 160


class KeyCounts:
    """Counts of the most frequent keys of a stream, in at most ``size`` entries."""

    def __init__(self, size: int = MAX_KEYS) -> None:
        self._size = size
        self._counts: dict[str, int] = {}
        self._errors: dict[str, int] = {}
        """Maximum part of a key's count that belongs to the key whose entry it replaced."""
        self.complete = True
        """False after an entry was replaced, because there were more keys than entries."""

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, key: str, count: int = 1) -> None:
        """Count a key; if all entries are in use, replace the least frequent key."""
        if key in self._counts:
            self._counts[key] += count
            return
        error = 0
        if len(self._counts) >= self._size:
            least = min(self._counts, key=self._counts.__getitem__)
            error = self._counts.pop(least)
            del self._errors[least]
            self.complete = False
        self._counts[key], self._errors[key] = error + count, error

    def top(self, number: int) -> dict[str, int]:
        """Return the most frequent keys with lower bounds of their counts, highest first."""
        sure = {key: count - self._errors[key] for key, count in self._counts.items()}
        return dict(sorted(sure.items(), key=lambda item: (-item[1], item[0]))[:number])


class _Reason:
    """State of one reason."""

    def __init__(self, now: float) -> None:
        self.logged: dict[str, float] = {}
        """Time of the last line of each key, for the last interval."""
        self.suppressed, self.suppressed_keys = 0, KeyCounts()
        self.summary_due = now
        self.keys, self.previous_keys = KeyCounts(), KeyCounts()
        self.period_end = now + WORST_SECONDS

    def may_log(self, key: str, now: float, interval_s: float) -> bool:
        """Return whether a line of ``key`` may be logged at ``now``, and record it if so."""
        self.logged = {known: at for known, at in self.logged.items() if now - at < interval_s}
        if key in self.logged or len(self.logged) >= LINES_PER_INTERVAL:
            return False
        self.logged[key] = now
        return True

    def rotate(self, now: float) -> None:
        """Begin a new period of the most frequent keys if the current one has ended."""
        if now >= self.period_end:
            fresh = now >= self.period_end + WORST_SECONDS
            self.previous_keys, self.keys = (KeyCounts() if fresh else self.keys), KeyCounts()
            self.period_end = now + WORST_SECONDS


class RateLimitedLog:
    """Log that counts every event by reason, and logs each key of a reason at most once in ``interval_s`` seconds.

    A reason logs at most LINES_PER_INTERVAL lines in that time over all its keys. :meth:`summarize`, which the loop
    calls with each health report, logs the number of suppressed lines and their most frequent keys. Thread-safe.
    """

    def __init__(
        self, counters: Counters, log: logging.Logger, clock: Clock, interval_s: float = INTERVAL_SECONDS
    ) -> None:
        self._counters, self._log, self._clock, self._interval_s = counters, log, clock, interval_s
        self._reasons: dict[str, _Reason] = {}
        self._lock = threading.Lock()

    def count(self, reason: str, count: int = 1) -> None:
        """Count without logging."""
        self._counters.add(reason, count)

    def info(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Log a normal event like :meth:`warning`; its keys are not reported by :meth:`worst`."""
        self._record(logging.INFO, reason, message, count, key)

    def warning(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Count ``count`` events under ``reason``, and log ``message`` unless the limit of ``key`` is reached.

        ``key`` names the origin, such as a topic, a series or a source.
        """
        self._record(logging.WARNING, reason, message, count, key)

    def error(self, reason: str, message: str, count: int = 1, *, key: str = "") -> None:
        """Log like :meth:`warning`, at level ERROR."""
        self._record(logging.ERROR, reason, message, count, key)

    def exception(self, reason: str, message: str, *, key: str = "") -> None:
        """Log like :meth:`error`, with the traceback of the exception that is being handled."""
        self._record(logging.ERROR, reason, message, 1, key, traceback=True)

    def _record(self, level: int, reason: str, message: str, count: int, key: str, *, traceback: bool = False) -> None:
        self._counters.add(reason, count)
        key, now = key[:MAX_KEY_LENGTH], self._clock.monotonic()
        with self._lock:
            state = self._reasons.get(reason)
            if state is None:
                state = self._reasons[reason] = _Reason(now)
            state.rotate(now)
            if key and level > logging.INFO:
                state.keys.add(key, count)
            if not state.may_log(key, now, self._interval_s):
                if not state.suppressed:
                    state.summary_due = now + self._interval_s
                state.suppressed += count
                if key:
                    state.suppressed_keys.add(key, count)
                return
        fields = {"reason": reason, "count": count, **({"key": key} if key else {})}
        self._log.log(level, "%s: %s", reason, message, exc_info=traceback, extra={"fields": fields})

    def summarize(self, *, final: bool = False) -> None:
        """Log the number of suppressed lines of each reason once per interval, or at once for the ``final`` summary."""
        now = self._clock.monotonic()
        lines = []
        with self._lock:
            for reason, state in self._reasons.items():
                state.rotate(now)
                if state.suppressed and (final or now >= state.summary_due):
                    lines.append((reason, state.suppressed, state.suppressed_keys))
                    state.suppressed, state.suppressed_keys = 0, KeyCounts()
        for reason, suppressed, keys in lines:
            fields: dict[str, object] = {"reason": reason, "count": suppressed}
            if len(keys):
                fields["keys"] = len(keys) if keys.complete else f"more than {len(keys)}"
                fields["most"] = keys.top(WORST_KEYS)
            self._log.warning("%s: %d more lines were suppressed", reason, suppressed, extra={"fields": fields})

    def worst(self, number: int = WORST_KEYS) -> Mapping[str, Mapping[str, int]]:
        """Return the most frequent keys of each reason in the last one to two hours, with their counts."""
        now = self._clock.monotonic()
        found = {}
        with self._lock:
            for reason, state in self._reasons.items():
                state.rotate(now)
                both = KeyCounts(2 * MAX_KEYS)
                for counts in (state.previous_keys, state.keys):
                    for key, count in counts.top(MAX_KEYS).items():
                        both.add(key, count)
                if len(both):
                    found[reason] = both.top(number)
        return found
