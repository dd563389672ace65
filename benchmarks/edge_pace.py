"""Pace of the load generator: a fixed rate, or as fast as the consumer. Pure."""

from __future__ import annotations

from typing import Protocol

FIRST_RATE = 200.0
SPEED_UP = 1.5
MAX_LEAD_SECONDS = 1.5


class Pace(Protocol):
    """Decides when messages are due; times are seconds since the pace began."""

    def allowed(self, elapsed: float) -> int:
        """Return how many messages may have been sent in all."""

    def consumed(self, total: int, elapsed: float) -> None:
        """Note that the consumer has acknowledged ``total`` messages in all."""

    def wait(self, sent: int, elapsed: float) -> float:
        """Return the seconds until the next message is due."""


class Steady:
    """``rate`` messages a second, spread evenly, independent of the consumer."""

    def __init__(self, rate: float, sent: int) -> None:
        self._rate, self._before = rate, sent

    def allowed(self, elapsed: float) -> int:
        """Return how many messages may have been sent in all."""
        return self._before + int(elapsed * self._rate)

    def consumed(self, total: int, elapsed: float) -> None:
        """Change nothing: the rate is fixed."""

    def wait(self, sent: int, elapsed: float) -> float:
        """Return the seconds until the next message is due."""
        return 0.0 if self._rate <= 0 else (sent + 1 - self._before) / self._rate - elapsed


class ClosedLoop:
    """Keeps the consumer busy: the broker always holds about a second of its work, never much more.

    And ``backlog`` messages at least, which must exceed the in-flight window: a consumer that acknowledges by groups
    would otherwise wait for messages, and the rate would settle at what the waits allow.
    """

    def __init__(self, sent: int, backlog: int) -> None:
        self._total, self._at, self._backlog = sent, 0.0, backlog
        self._rate = FIRST_RATE

    def allowed(self, elapsed: float) -> int:
        """Return how many messages may have been sent in all."""
        ahead = min(elapsed - self._at, MAX_LEAD_SECONDS) * self._rate
        return self._total + max(self._backlog, int(self._rate)) + int(ahead)

    def consumed(self, total: int, elapsed: float) -> None:
        """Follow the consumer's rate; it may rise by half between two reports."""
        since = elapsed - self._at
        if since <= 0:
            return
        seen = max(0, total - self._total) / since
        self._rate = max(FIRST_RATE, min(seen, self._rate * SPEED_UP))
        self._total, self._at = max(self._total, total), elapsed

    def wait(self, sent: int, elapsed: float) -> float:
        """Return the seconds until the next message is due."""
        return 0.0
