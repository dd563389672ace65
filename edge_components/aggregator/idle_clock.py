"""Clock for the idle timeout of series: it runs only while readings could have been received. Pure.

When one series is silent and others are not, that series is idle. When nothing at all is received, the path to the
aggregator is more likely broken than every sensor at once, and readings may be queued before it: closing windows then
would make those late. So the idle clock stops while nothing is received (except for a total silence longer than
the limit), while batches are being rejected, and while an earlier batch is missing. A process that was stopped for a
while must not find hours passed either, so one step counts a second at most.
"""

from __future__ import annotations

_GRACE_S = 2.0
_LONGEST_STEP_S = 1.0


class IdleClock:
    """Time that only grows while readings can be received; milliseconds, so that a replay sees the same numbers."""

    def __init__(self, now: float, silence_s: float) -> None:
        self.silence_s = silence_s
        self._seconds, self._last, self._received = 0.0, now, now

    @property
    def milliseconds(self) -> int:
        """Time so far."""
        return int(self._seconds * 1000)

    def batch_received(self, now: float) -> None:
        """Record the reception of a batch of any series."""
        self._received = now

    def tick(self, now: float, incomplete: bool) -> int:
        """Advance to ``now`` (monotonic seconds) and return the time so far.

        ``incomplete``: readings were rejected or lost, and their sender retransmits them.
        """
        step, self._last = min(now - self._last, _LONGEST_STEP_S), now
        silent = now - self._received
        if incomplete:
            self._received = now
        elif silent <= _GRACE_S or silent > self.silence_s:
            self._seconds += max(step, 0.0)
        return self.milliseconds
