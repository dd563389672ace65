"""Acknowledgements of a source that wait until the aggregator has stored the readings. Pure.

An acknowledgement has a position in the stream of readings. Batches are formed from that stream in order, so all
readings up to the end of a batch are stored when that batch and all before it are acknowledged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Acknowledge = Callable[[], None]


class PendingAcknowledgements:
    """Pending acknowledgements in the order of their readings."""

    def __init__(self) -> None:
        self._pending: deque[tuple[int, Acknowledge]] = deque()
        self._ends: deque[tuple[int, int]] = deque()
        self._cut = self._stored = 0

    def __len__(self) -> int:
        """Return the number of pending acknowledgements."""
        return len(self._pending)

    def add(self, uncut_readings: int, acknowledge: Acknowledge) -> None:
        """Call ``acknowledge`` once all readings so far are stored; ``uncut_readings`` are not in a batch yet."""
        self._pending.append((self._cut + uncut_readings, acknowledge))

    def cut(self, sequence: int, readings: int) -> None:
        """Record that the next ``readings`` are in the batch numbered ``sequence``."""
        self._cut += readings
        self._ends.append((sequence, self._cut))

    def settle(self, oldest_unstored: int | None) -> int:
        """Acknowledge what is stored when every batch below ``oldest_unstored`` is (None: every batch); return how
        many acknowledgements those were."""
        while self._ends and (oldest_unstored is None or self._ends[0][0] < oldest_unstored):
            self._stored = self._ends.popleft()[1]
        settled = 0
        while self._pending and self._pending[0][0] <= self._stored:
            self._pending.popleft()[1]()
            settled += 1
        return settled
