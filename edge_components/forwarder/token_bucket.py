"""How fast the uplink may send: a token bucket on the monotonic clock. Pure."""

from __future__ import annotations


class TokenBucket:
    """Allows ``per_second`` sendings on average, and a burst of one second's worth (at least one)."""

    def __init__(self, per_second: float, now: float) -> None:
        self._rate, self._burst = per_second, max(1.0, per_second)
        self._tokens, self._at = self._burst, now

    def allowed(self, now: float) -> int:
        """Return how many may be sent at ``now`` (monotonic seconds)."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        return int(self._tokens)

    def wait_s(self, now: float) -> float:
        """Return the seconds until one may be sent."""
        self.allowed(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def spend(self, number: int = 1) -> None:
        """Take ``number`` sendings off."""
        self._tokens -= number
