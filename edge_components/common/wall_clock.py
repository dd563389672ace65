"""Plausibility of the wall clock. Pure."""

from __future__ import annotations

_FLOOR_MS = 1_672_531_200_000
"""2023-01-01, before the first version."""


def is_set(now_ms: int) -> bool:
    """Return whether the wall clock has been set: a Raspberry Pi has no time until it is connected to a network.

    A clock that is not set cannot be used to reject times of other clocks as future.
    """
    return now_ms >= _FLOOR_MS
