"""The calls of a model at work: marked on disk, timed, and watched for standing still.

A call into the TFLite interpreter cannot be interrupted, but it lets other threads run. So a watchdog looks now and
then whether the same call still goes on; for too long, and the process has to end. Pure, but for the mark's file and
the processor's time: the thread is in :mod:`watch_thread`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from edge_components.anomaly_detector.model_runtime.in_flight_marker import Mark

STILL_SECONDS = 20.0
"""A call that takes so long stands still, unless much more than usual is allowed."""
STILL_TIMES = 10.0
"""Nor does one that takes less than so many times what is allowed."""
MOST_DEBT = 20.0
"""What calls take more than they may adds up, less what others leave; so many times what one may take is too much."""

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class Calls:
    """One model's calls; ``allowed_s`` of processor time each."""

    def __init__(
        self,
        name: str,
        allowed_s: float,
        mark: Mark | None = None,
        dog: Watchdog | None = None,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self.name, self.allowed_s, self.mark = name, allowed_s, mark or Mark()
        self._dog, self._cpu = dog or Watchdog(), cpu
        self.slow = 0
        self.busy_s = self.last_s = self.debt_s = 0.0

    @property
    def made(self) -> int:
        """How many have ended."""
        return self.mark.turns // 2

    @property
    def still_s(self) -> float:
        """How long a call may go on by the clock before it counts as standing still."""
        return max(STILL_SECONDS, STILL_TIMES * self.allowed_s)

    @property
    def too_slow(self) -> bool:
        """Whether they take more than they may, not once but again and again, or once beyond all measure."""
        return self.debt_s > MOST_DEBT * self.allowed_s

    def make(self, run: Callable[[*Ts], T], *values: *Ts) -> T:
        """Make one; raises what it raises."""
        self._dog.current = self
        # Processor time, not the clock's: a busy gateway is no fault of the model.
        began = self._cpu()
        self.mark.turn()
        try:
            return run(*values)
        finally:
            self.mark.turn()
            self.last_s = took = self._cpu() - began
            if took:
                self._account(took)

    def _account(self, took: float) -> None:
        self.busy_s += took
        self.slow += took > self.allowed_s
        self.debt_s = max(0.0, self.debt_s + took - self.allowed_s)


class Watchdog:
    """Looks at the calls of the model that was called last: one thread calls them all, one at a time."""

    def __init__(self) -> None:
        self.current: Calls | None = None
        self._seen: tuple[Calls, int] | None = None
        self._for_s = 0.0

    def look(self, seconds: float) -> Calls | None:
        """Return the calls of which one stands still, if any does; ``seconds`` is how far apart looks are.

        Looks are counted and no clock is read: a process that was stopped for a while does not stand still, nor one
        that gets so little of the processor that the looks are rare too.
        """
        calls = self.current
        if calls is None:
            return None
        now = calls, calls.mark.turns
        self._for_s = self._for_s + seconds if now == self._seen else 0.0
        self._seen = now
        if now[1] % 2 == 0 or self._for_s < calls.still_s:
            return None
        calls.mark.note_still(self._for_s)
        return calls
