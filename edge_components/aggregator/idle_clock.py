"""The time in which readings could have come: what the idle timeout of a series is measured with. Pure.

When one series is silent and others are not, that series is idle. When nothing at all comes, the way here is more
likely broken than every sensor at once, and readings may be waiting before it: closing windows then would make those
late. So the idle clock stands still while nothing comes, but for a total silence longer than the limit, and it stands
still while batches are being refused. A process that was stopped for a while must not find hours passed either, so
one step counts a second at most.
"""

from __future__ import annotations

_GRACE_S = 2.0
_LONGEST_STEP_S = 1.0


class IdleClock:
    """Seconds that only grow while readings can come."""

    def __init__(self, now: float, silence_s: float) -> None:
        self.silence_s = silence_s
        self._seconds, self._last, self._heard = 0.0, now, now

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._seconds

    def hear(self, now: float) -> None:
        """Note that a batch came, of whatever series."""
        self._heard = now

    def tick(self, now: float, refusing: bool) -> float:
        """Move on to ``now`` (monotonic seconds) and return the seconds so far."""
        step, self._last = min(now - self._last, _LONGEST_STEP_S), now
        silent = now - self._heard
        if refusing:
            self._heard = now  # what was refused is sent again, later
        elif silent <= _GRACE_S or silent > self.silence_s:
            self._seconds += max(step, 0.0)
        return self._seconds
