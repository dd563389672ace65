"""Token bucket that limits the rate of the uplink. Pure: the time is passed in."""

from __future__ import annotations


class TokenBucket:
    """Limit of ``per_second`` messages on average, with bursts of one second's messages (at least one)."""

    def __init__(self, per_second: float, now: float) -> None:
        self._rate, self._burst = per_second, max(1.0, per_second)
        self._tokens, self._at = self._burst, now

    def allowed(self, now: float) -> int:
        """Return the number of messages that may be sent at ``now`` (monotonic seconds)."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        return int(self._tokens)

    def wait_s(self, now: float) -> float:
        """Return the seconds until a message may be sent."""
        self.allowed(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def spend(self, number: int = 1) -> None:
        """Count ``number`` messages as sent."""
        self._tokens -= number
