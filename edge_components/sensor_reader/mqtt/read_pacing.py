"""Pacing of reads from the broker's connection: a rest between two reads lets the next one find more. Pure.

Each read costs as much as parsing tens of publications, and each wake-up of a sleeping process some 0.2 ms of CPU.
"""

from __future__ import annotations

WAKE_BYTES = 64_000
SHORTEST_REST_S, LONGEST_REST_S = 0.002, 0.1
"""The longest must be well below the pause that shows a blocked broker (flow.PAUSE_S)."""

MIN_ROOM = 100
"""With less room a window is filled at once when the broker is acknowledged, and resting would delay that."""

LOW_RATE, LOW_RATE_REST_S = 100.0, 0.25
"""Below so many publications a second a rest may be longer, and a small window is not filled at once.

The rest is the error of the arrival time, which readings without a time of their own get.
"""


class ReadPacer:
    """Determines the rest after a read from the time since the last read, or since the last acknowledgement."""

    def __init__(self) -> None:
        self._last = 0.0

    def acknowledged(self, now: float) -> None:
        """Note acknowledgements: a broker that was blocked sends from now on, so its silence was not a low rate."""
        self._last = now

    def rest_s(self, count: int, size: int, room: int, hold_s: float, now: float) -> float:
        """Return the seconds to rest after a read of ``count`` publications of ``size`` bytes in total.

        ``room`` is the number of publications after which the broker is blocked, ``hold_s`` the time after which the
        first one must be processed. At the rate of this read, a rest is half of the time until the one or the other.
        """
        elapsed, self._last = max(now - self._last, 0.001), now
        slow = count < LOW_RATE * elapsed
        if room < (1 if slow else MIN_ROOM):
            return 0.0
        rest_s = 0.5 * elapsed * min(room / count, WAKE_BYTES / size)
        longest_s = LOW_RATE_REST_S if slow else LONGEST_REST_S
        return min(rest_s, hold_s, longest_s) if rest_s >= SHORTEST_REST_S else 0.0
