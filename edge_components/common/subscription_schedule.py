"""Schedule of the attempts and renewals of one subscription. Pure: the time is passed in.

A subscription fails in four ways: the nucleus rejects it (nucleus lite while offline), responds hours later (the Java
nucleus while offline), closes the stream, or the stream stays open without messages (after a restart of a nucleus lite
daemon). The schedule handles these by retries with exponential backoff and jitter, one attempt at a time with a long
deadline, a retry after a close, and renewal when messages seem to be missing. A renewal opens the new stream before the
old one is closed, so that no message is lost if the old one still works.
"""

from __future__ import annotations

import random
from enum import Enum

from edge_components.common.handover import RetryPolicy

RETRY = RetryPolicy(first_s=0.5, longest_s=30.0)
SILENCE_SECONDS = 30.0
"""Time without a message after which a subscription with constant traffic is renewed, and minimum time between
renewals; it doubles with each renewal that was not followed by a message, up to LONGEST_SILENCE_SECONDS."""
LONGEST_SILENCE_SECONDS = 300.0
STABLE_SECONDS = 30.0
"""The backoff is reset when a stream that was open for at least this time closes."""


class _State(Enum):
    WAITING = "no stream, an attempt is scheduled"
    OPENING = "no stream, an attempt is in progress"
    ACTIVE = "a stream is open"
    RENEWING = "a stream is open, an attempt for another is in progress"


class SubscriptionSchedule:
    """State of one subscription; all times are monotonic seconds.

    ``answer_s`` limits an attempt. With ``expects_traffic`` the subscription is renewed after a time without messages.
    """

    def __init__(self, now: float, rng: random.Random, *, answer_s: float, expects_traffic: bool = False) -> None:
        self._rng, self._answer_s, self._expects_traffic = rng, answer_s, expects_traffic
        self._state = _State.WAITING
        self._due, self._deadline = now, now
        self._failures = 0
        self._opened_at, self._last_message = now, now
        self._renewal_s = SILENCE_SECONDS

    @property
    def active(self) -> bool:
        """True if a stream is open."""
        return self._state in (_State.ACTIVE, _State.RENEWING)

    @property
    def attempting(self) -> bool:
        """True if an attempt is in progress."""
        return self._state in (_State.OPENING, _State.RENEWING)

    def attempt_due(self, now: float) -> bool:
        """Return whether an attempt is due at ``now``."""
        if self._state is _State.WAITING:
            return now >= self._due
        return self._state is _State.ACTIVE and now >= self._renewal_due

    def attempt_overdue(self, now: float) -> bool:
        """Return whether the attempt in progress has exceeded its deadline; the caller ends it as failed."""
        return self.attempting and now >= self._deadline

    def next_s(self, now: float) -> float:
        """Return the seconds until an attempt is due or overdue."""
        if self.attempting:
            return max(0.0, self._deadline - now)
        return max(0.0, (self._due if self._state is _State.WAITING else self._renewal_due) - now)

    def attempt_began(self, now: float) -> None:
        """Record the begin of an attempt."""
        self._state = _State.RENEWING if self.active else _State.OPENING
        self._deadline = now + self._answer_s

    def opened(self, now: float) -> bool:
        """Record the success of an attempt and return whether it was a renewal."""
        renewal = self._state is _State.RENEWING
        self._renewal_s = min(2 * self._renewal_s, LONGEST_SILENCE_SECONDS) if renewal else self._renewal_s
        self._state = _State.ACTIVE
        self._opened_at, self._due = now, float("inf")
        return renewal

    def failed(self, now: float) -> None:
        """Record the failure of an attempt; an open stream stays open."""
        self._failures += 1
        if self._state is _State.RENEWING:
            self._state = _State.ACTIVE
            self._renewal_s = min(2 * self._renewal_s, LONGEST_SILENCE_SECONDS)
            self._opened_at, self._due = now, float("inf")
        else:
            self._retry(now)

    def closed(self, now: float) -> None:
        """Record that the nucleus closed the open stream."""
        if self._state is _State.RENEWING:
            self._state = _State.OPENING
            return
        self._failures = 1 if now - self._opened_at >= STABLE_SECONDS else self._failures + 1
        self._retry(now)

    def received(self, now: float) -> None:
        """Record a message."""
        self._last_message, self._renewal_s, self._failures = now, SILENCE_SECONDS, 0

    def request_renewal(self, now: float) -> bool:
        """Request a renewal because messages seem to be missing; return whether one was scheduled.

        The request has no effect without an open stream, and is postponed if the last renewal is too recent.
        """
        if self._state is not _State.ACTIVE or self._due != float("inf"):
            return False
        self._due = max(now, self._opened_at + self._renewal_s)
        return True

    def reset(self, now: float) -> None:
        """Discard streams and attempts, which ended with their connection; the next attempt is due at once."""
        self._state, self._due, self._failures = _State.WAITING, now, 0

    @property
    def _renewal_due(self) -> float:
        quiet = max(self._opened_at, self._last_message) + self._renewal_s if self._expects_traffic else float("inf")
        return min(self._due, quiet)

    def _retry(self, now: float) -> None:
        self._state = _State.WAITING
        self._due = now + RETRY.delay(self._failures, self._rng)
