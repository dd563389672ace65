"""When a source may be told that what it handed over is safe: once the aggregator holds it on its disk. Pure.

A receipt stands at a position in the stream of readings. Batches are cut from that stream in order, so everything up to
the end of a batch is held when that batch and all before it are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Settle = Callable[[], None]


class Receipts:
    """The receipts that wait, in the order of the readings they stand for."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Settle]] = deque()
        self._ends: deque[tuple[int, int]] = deque()
        self._cut = self._held = 0
        self._uncut = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def uncut(self) -> int:
        """How many wait for readings that are not in a batch yet."""
        return self._uncut

    def expect(self, uncut_readings: int, settle: Settle) -> None:
        """Call ``settle`` once all readings up to now are held; ``uncut_readings`` of them are in no batch yet."""
        self._waiting.append((self._cut + uncut_readings, settle))
        self._uncut += uncut_readings > 0

    def cut(self, sequence: int, readings: int) -> None:
        """Note that the next ``readings`` went into the batch numbered ``sequence``."""
        self._cut += readings
        self._ends.append((sequence, self._cut))
        self._uncut = sum(1 for position, _ in self._waiting if position > self._cut)

    def settle(self, oldest_unheld: int | None) -> int:
        """Settle what is held when every batch below ``oldest_unheld`` is (None: every batch); return how many."""
        while self._ends and (oldest_unheld is None or self._ends[0][0] < oldest_unheld):
            self._held = self._ends.popleft()[1]
        settled = 0
        while self._waiting and self._waiting[0][0] <= self._held:
            self._waiting.popleft()[1]()
            settled += 1
        return settled
