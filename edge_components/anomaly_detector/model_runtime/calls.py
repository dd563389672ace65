"""Calls of a model: marked on disk, timed, and monitored for hangs.

A call of the TFLite interpreter cannot be interrupted, but other threads run meanwhile. So a watchdog checks
periodically whether the same call is still running; after the hang timeout the process has to end. Pure except for the
marker's file and the processor time: the thread is in :mod:`watchdog_thread`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from edge_components.anomaly_detector.model_runtime.in_flight_marker import InFlightMarker

HANG_TIMEOUT_S = 20.0
"""Minimum of the hang timeout."""
HANG_TIMEOUT_FACTOR = 10.0
"""Minimum of the hang timeout as a multiple of the allowed time."""
MAX_OVERRUN = 20.0
"""Maximum accumulated overrun, as a multiple of the allowed time; faster calls reduce it."""

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class Calls:
    """Calls of one model; each may take ``allowed_s`` of processor time."""

    def __init__(
        self,
        name: str,
        allowed_s: float,
        marker: InFlightMarker | None = None,
        watchdog: Watchdog | None = None,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self.name, self.allowed_s, self.marker = name, allowed_s, marker or InFlightMarker()
        self._watchdog, self._cpu = watchdog or Watchdog(), cpu
        self.slow = 0
        self.busy_s = self.last_s = self.overrun_s = 0.0

    @property
    def made(self) -> int:
        """Number of finished calls."""
        return self.marker.toggles // 2

    @property
    def hang_timeout_s(self) -> float:
        """Seconds after which a running call counts as hanging."""
        return max(HANG_TIMEOUT_S, HANG_TIMEOUT_FACTOR * self.allowed_s)

    @property
    def too_slow(self) -> bool:
        """True if calls exceeded the allowed time repeatedly, or once by far."""
        return self.overrun_s > MAX_OVERRUN * self.allowed_s

    def make(self, run: Callable[[*Ts], T], *values: *Ts) -> T:
        """Make a call; raises what it raises."""
        self._watchdog.current = self
        # Processor time: it does not depend on other load of the gateway.
        began = self._cpu()
        self.marker.toggle()
        try:
            return run(*values)
        finally:
            self.marker.toggle()
            self.last_s = took = self._cpu() - began
            if took:
                self._account(took)

    def _account(self, took: float) -> None:
        self.busy_s += took
        self.slow += took > self.allowed_s
        self.overrun_s = max(0.0, self.overrun_s + took - self.allowed_s)


class Watchdog:
    """Check the calls of the model that was called last; one thread makes all calls, one at a time."""

    def __init__(self) -> None:
        self.current: Calls | None = None
        self._seen: tuple[Calls, int] | None = None
        self._for_s = 0.0

    def check(self, seconds: float) -> Calls | None:
        """Return the calls of which one hangs, if any; ``seconds`` is the interval between checks.

        Checks are counted instead of reading a clock, so a process that was suspended, or that gets little processor
        time, does not count as hanging.
        """
        calls = self.current
        if calls is None:
            return None
        now = calls, calls.marker.toggles
        self._for_s = self._for_s + seconds if now == self._seen else 0.0
        self._seen = now
        if now[1] % 2 == 0 or self._for_s < calls.hang_timeout_s:
            return None
        calls.marker.record_hang(self._for_s)
        return calls
