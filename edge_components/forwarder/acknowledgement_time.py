"""Measured times from sending a batch to the cloud's acknowledgement, and the wait before a repetition.

The wait is TCP's retransmission timeout (RFC 6298): smoothed time plus four mean deviations. Each lane has its own
estimate, because the cloud processes urgent batches at once and others in groups. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge_components.common.handover import RetryPolicy
from wire.topics import Lane

SMOOTHING = 1 / 8
DEVIATION_SMOOTHING = 1 / 4
DEVIATIONS = 4
MIN_DEVIATION = 1 / 8
"""Lower bound of the deviation, as a fraction of the smoothed time, so that equal times leave a margin of 50%."""
JITTER = 1 / 4
MAX_DOUBLINGS = 30


@dataclass(slots=True)
class TimeoutEstimate:
    """Retransmission timeout of one lane; 0 while nothing was measured."""

    smoothed_s: float | None = None
    deviation_s: float = 0.0
    doublings: int = 0
    """Doublings since the last measurement: a batch that was sent more than once cannot be measured (Karn)."""

    @property
    def timeout_s(self) -> float:
        """Smoothed time plus four deviations, without the doublings."""
        if self.smoothed_s is None:
            return 0.0
        return self.smoothed_s + DEVIATIONS * max(self.deviation_s, MIN_DEVIATION * self.smoothed_s)

    def measured(self, seconds: float) -> None:
        """Update the estimate with the time of a batch that was sent once."""
        self.doublings = 0
        if self.smoothed_s is None:
            self.smoothed_s, self.deviation_s = seconds, seconds / 2
            return
        self.deviation_s += DEVIATION_SMOOTHING * (abs(seconds - self.smoothed_s) - self.deviation_s)
        self.smoothed_s += SMOOTHING * (seconds - self.smoothed_s)

    def not_measurable(self) -> None:
        """Double the timeout until the next measurement: a batch was acknowledged that had been sent more than once."""
        self.doublings = min(MAX_DOUBLINGS, self.doublings + 1)


@dataclass(slots=True)
class _Sending:
    lane: Lane
    at: float
    once: bool


@dataclass(slots=True)
class AcknowledgementTimes:
    """The batches in flight, and the estimate of each lane."""

    policy: RetryPolicy
    rng: random.Random
    _sendings: dict[int, _Sending] = field(default_factory=dict)
    _estimates: dict[Lane, TimeoutEstimate] = field(default_factory=dict)

    def sent(self, batch: int, lane: Lane, now: float, *, first: bool) -> None:
        """Record a sending at ``now`` (monotonic seconds); ``first`` if no process has sent the batch before."""
        self._sendings[batch] = _Sending(lane, now, first)

    def forget(self, batch: int) -> None:
        """Discard the measurement of a batch, because it will not be acknowledged in the form in which it was sent."""
        self._sendings.pop(batch, None)

    def acknowledged(self, batches: Iterable[int], now: float) -> None:
        """Update the estimates with one acknowledgement; double the timeout of a lane without a measurable batch."""
        sendings = [sending for batch in batches if (sending := self._sendings.pop(batch, None)) is not None]
        measured = [sending for sending in sendings if sending.once]
        for sending in measured:
            self._estimate(sending.lane).measured(max(0.0, now - sending.at))
        for lane in {sending.lane for sending in sendings} - {sending.lane for sending in measured}:
            self._estimate(lane).not_measurable()

    def min_wait_s(self, lane: Lane, attempts: int) -> float:
        """Return the minimum seconds to wait after the ``attempts``-th sending; 0 without a measurement."""
        estimate = self._estimate(lane)
        if estimate.smoothed_s is None and not estimate.doublings:
            return 0.0
        timeout_s = max(self.policy.first_s, estimate.timeout_s)
        doublings = min(MAX_DOUBLINGS, estimate.doublings + attempts - 1)
        return min(self.policy.longest_s, timeout_s * 2.0**doublings * (1.0 + JITTER * self.rng.random()))

    def _estimate(self, lane: Lane) -> TimeoutEstimate:
        return self._estimates.setdefault(lane, TimeoutEstimate())
