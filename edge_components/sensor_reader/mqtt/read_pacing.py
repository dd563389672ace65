"""Pacing of reads from the broker's connection: a pause between reads lets the next one return more data. Pure.

A read costs as much as parsing tens of publications, and each wake-up of a sleeping process about 0.2 ms of CPU time.
"""

from __future__ import annotations

import math

WAKE_BYTES = 64_000
SHORTEST_REST_S, LONGEST_REST_S = 0.002, 0.1
"""Bounds of the pause; the maximum must be well below the pause of a blocked broker (flow.PAUSE_S)."""

MIN_ROOM = 100
"""Minimum room in the in-flight window for a pause: with less, the window fills right after an acknowledgement."""

LOW_RATE, LOW_RATE_REST_S = 100.0, 0.25
"""Rate in publications per second below which the pause may be longer, since a small window does not fill immediately.

The pause is the maximum error of the arrival time, which is the event time of readings without a timestamp
(:mod:`~edge_components.sensor_reader.arrival_times` distributes those of one topic over it).
"""

IMMEDIATELY_S = 0.005
"""A read that returns within this time after a pause returns what arrived during the pause."""


class ReadPacer:
    """Calculation of the pause after a read from the time since the last read or acknowledgement."""

    def __init__(self) -> None:
        self._last = 0.0
        self._rested = (-math.inf, -math.inf)
        """Begin and end of the pause before the next read."""

    def rested(self, began: float, ended: float) -> None:
        """Record a pause before the next read."""
        self._rested = began, ended

    def unread_s(self, now: float) -> float:
        """Return the seconds before a read at ``now`` in which its publications may have arrived."""
        (began, ended), self._rested = self._rested, (-math.inf, -math.inf)
        return now - began if now - ended < IMMEDIATELY_S else 0.0

    def acknowledged(self, now: float) -> None:
        """Record acknowledgements: a blocked broker sends again from now on, so its silence was not a low rate."""
        self._last = now

    def rest_s(self, count: int, size: int, room: int, hold_s: float, now: float) -> float:
        """Return the seconds to pause after a read of ``count`` publications of ``size`` bytes in total.

        ``room`` is the number of publications after which the broker is blocked, ``hold_s`` the time after which the
        first one must be processed. At the rate of this read, a pause is half of the time until the earlier of the two.
        """
        elapsed, self._last = max(now - self._last, 0.001), now
        slow = count < LOW_RATE * elapsed
        if room < (1 if slow else MIN_ROOM):
            return 0.0
        rest_s = 0.5 * elapsed * min(room / count, WAKE_BYTES / size)
        longest_s = LOW_RATE_REST_S if slow else LONGEST_REST_S
        return min(rest_s, hold_s, longest_s) if rest_s >= SHORTEST_REST_S else 0.0
