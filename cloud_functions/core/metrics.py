"""Counters and measured values of one invocation; the core adds to them, an adapter publishes them."""

from __future__ import annotations

from collections import Counter


class Metrics:
    """Metrics of an invocation. A name that ends in ``_ms`` is a duration in milliseconds, any other one is a count."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.values: dict[str, list[int]] = {}

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self.counts[name] += amount

    def observe(self, name: str, value: int) -> None:
        """Add one measured value, of which the distribution is published."""
        self.values.setdefault(name, []).append(value)

    def clear(self) -> None:
        """Remove everything, for the next invocation."""
        self.counts.clear()
        self.values.clear()
