"""The acknowledgements of a source that wait until the aggregator has the readings on its disk. Pure.

An acknowledgement stands at a position in the stream of readings. Batches are cut from that stream in order, so
everything up to the end of a batch is stored when that batch and all before it are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Acknowledge = Callable[[], None]


class PendingAcknowledgements:
    """The acknowledgements that wait, in the order of the readings they stand for."""

    def __init__(self) -> None:
        self._pending: deque[tuple[int, Acknowledge]] = deque()
        self._ends: deque[tuple[int, int]] = deque()
        self._cut = self._stored = 0

    def __len__(self) -> int:
        """Return the number that wait."""
        return len(self._pending)

    def add(self, uncut_readings: int, acknowledge: Acknowledge) -> None:
        """Call ``acknowledge`` once all readings up to now are stored; ``uncut_readings`` are in no batch yet."""
        self._pending.append((self._cut + uncut_readings, acknowledge))

    def cut(self, sequence: int, readings: int) -> None:
        """Note that the next ``readings`` went into the batch numbered ``sequence``."""
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
