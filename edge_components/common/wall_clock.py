"""Whether a wall clock can be believed at all. Pure."""

from __future__ import annotations

_FLOOR_MS = 1_672_531_200_000
"""2023-01-01, before this software existed."""


def is_set(now_ms: int) -> bool:
    """Return whether a clock that says ``now_ms`` has got the time: a Raspberry Pi has none until the network is there.

    One that has not cannot call another's time future.
    """
    return now_ms >= _FLOOR_MS
