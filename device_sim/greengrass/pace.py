"""Rate limit of messages: two token buckets with a capacity of one second each; pure."""

from __future__ import annotations


class Pace:
    """Limit of messages per second and of bytes per second."""

    def __init__(self, messages: float, size: float) -> None:
        self._rates = (messages, size)
        self._tokens = [messages, size]
        self._at: float | None = None

    def take(self, now: float, size: int) -> float:
        """Take the tokens of one message of ``size`` bytes and return 0, or return the seconds to wait.

        A message larger than a second's bytes waits for a full bucket and leaves it in debt.
        """
        if self._at is not None:
            passed = max(0.0, now - self._at)
            self._tokens = [
                min(rate, have + passed * rate) for have, rate in zip(self._tokens, self._rates, strict=True)
            ]
        self._at = now
        costs = (1.0, float(size))
        waits = [
            (min(cost, rate) - have) / rate for have, cost, rate in zip(self._tokens, costs, self._rates, strict=True)
        ]
        if max(waits) > 1e-9:
            return max(waits)
        self._tokens = [have - cost for have, cost in zip(self._tokens, costs, strict=True)]
        return 0.0
