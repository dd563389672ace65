"""Arrival times of publications that were read together: the event times of readings without a timestamp. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

FARTHEST_MS = 500
"""Maximum difference of the estimated arrivals within one read."""


def before_ms(topics: Sequence[bytes], unread_ms: float) -> list[int]:
    """Return how many milliseconds before the read each publication arrived, by its topic.

    ``unread_ms`` is the time for which the connection had not been read. Publications of one topic arrive evenly in it,
    and at least a millisecond apart: otherwise equal values would be the same reading. Other topics often belong to one
    moment, so the last publication of each has the time of the read.
    """
    counts = Counter(topics)
    if len(counts) == len(topics):
        return [0] * len(topics)
    found, later = [0] * len(topics), dict.fromkeys(counts, 0)
    for at in range(len(topics) - 1, -1, -1):
        topic = topics[at]
        step = max(unread_ms / counts[topic], 1.0)
        found[at] = min(int(later[topic] * step), FARTHEST_MS)
        later[topic] += 1
    return found
