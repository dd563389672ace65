"""Loop of a component: a queue of calls and the single thread that makes them.

The thread sleeps until a call is posted or a tick is due: each :data:`Tick` returns the seconds until its next call, so
an idle component wakes up about once per second.
"""

from __future__ import annotations

import logging
import queue
import traceback
from collections.abc import Callable, Sequence

from edge_components.common.errors import BusError
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import Clock

EXIT_UNAVAILABLE = 69
EXIT_SOFTWARE = 70
EXIT_CONFIG = 78
MAX_SLEEP_SECONDS = 1.0
CLOCK_JUMP_SECONDS = 2.0
QUEUE_SIZE = 10_000
Call = Callable[[], None]
Tick = Callable[[], float]
"""Performs due work and returns the maximum seconds until its next call."""


def _nothing() -> None:
    """Do nothing: the call that :meth:`Loop.wake` posts."""


class Periodic:
    """Tick that makes a call every ``interval_s`` seconds, first after one interval."""

    def __init__(self, interval_s: float, call: Call, clock: Clock) -> None:
        self._interval_s, self._call, self._clock = interval_s, call, clock
        self._due = clock.monotonic() + interval_s

    def __call__(self) -> float:
        """Make the call if it is due; return the seconds until the next one."""
        now = self._clock.monotonic()
        if now >= self._due:
            self._due = now + self._interval_s  # before the call, which may fail
            self._call()
        return max(0.0, self._due - now)


class Loop:
    """Queue of calls, and the loop that makes them."""

    def __init__(self, log: logging.Logger, limited_log: RateLimitedLog, clock: Clock, size: int = QUEUE_SIZE) -> None:
        # Unlike queue.Queue, a SimpleQueue may be used in a signal handler.
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._log, self._limited_log, self._clock, self._size = log, limited_log, clock, size
        self._exit: int | None = None
        self._broken = self._woken = False
        self._clock_offset_ms = self._offset_ms()

    @property
    def stopping(self) -> bool:
        """True after :meth:`stop`."""
        return self._exit is not None

    def post(self, call: Call) -> None:
        """Run a call on the loop, from any thread; if the queue is full it is dropped and counted (senders repeat)."""
        if self._calls.qsize() >= self._size:
            self._limited_log.warning("loop_overflow", f"more than {self._size} messages wait; messages are dropped")
        else:
            self._calls.put(call)

    def post_always(self, call: Call) -> None:
        """Run a call on the loop, from any thread, even if the queue is full: for rare events without repetition."""
        self._calls.put(call)

    def wake(self) -> None:
        """Run the ticks soon, from any thread; repeated calls wake the loop once."""
        if not self._woken:
            self._woken = True
            self._calls.put(_nothing)

    def stop(self, code: int = 0) -> None:
        """End the loop with an exit code; the first one is used. Callable from a signal handler."""
        if self._exit is None:
            self._exit = code
            self._calls.put(_nothing)

    def run(self, ticks: Sequence[Tick]) -> int:
        """Run calls and ticks until stopped and return the exit code; a failing one does not block the others."""
        while self._exit is None:
            wait_s = MAX_SLEEP_SECONDS
            for tick in ticks:
                wait_s = min(wait_s, self._next_s(tick))
            self._watch_clock()
            if self._exit is None:
                self._make_calls(wait_s)
        return self._exit

    def call_guarded(self, call: Call) -> None:
        """Make a call; an error is logged and counted, and does not end the loop.

        A MemoryError ends the loop at once, without further calls: any operation may be incomplete, and only the state
        on disk is consistent.
        """
        if self._broken:
            return
        try:
            call()
        except BusError as error:
            self._limited_log.warning("bus_errors", str(error))
        except MemoryError:
            self._broken = True
            self._exit = EXIT_SOFTWARE  # overrides an earlier request to stop
            self._log.exception("out of memory; the component exits and is restarted from its state on disk")
        except Exception as error:  # noqa: BLE001 # outermost edge of the loop: a failing call must not stop others
            frame = traceback.extract_tb(error.__traceback__)[-1]
            location = f"{type(error).__name__} in {frame.name}, line {frame.lineno}"
            self._limited_log.exception("errors", "a call failed; the loop continues", key=location)

    def _make_calls(self, wait_s: float) -> None:
        """Wait for a call, and make all calls in the queue."""
        try:
            call = self._calls.get(timeout=wait_s) if wait_s > 0 else self._calls.get_nowait()
        except queue.Empty:
            return
        self._woken = False
        self.call_guarded(call)
        for _ in range(self._calls.qsize()):
            if self._exit is not None:
                return
            self.call_guarded(self._calls.get_nowait())

    def _next_s(self, tick: Tick) -> float:
        next_s = MAX_SLEEP_SECONDS

        def call() -> None:
            nonlocal next_s
            next_s = tick()

        self.call_guarded(call)
        return next_s

    def _offset_ms(self) -> float:
        return self._clock.wall_ms() - 1000 * self._clock.monotonic()

    def _watch_clock(self) -> None:
        """Log a jump of the wall clock: times before and after it are not comparable."""
        offset_ms = self._offset_ms()
        jump_s = (offset_ms - self._clock_offset_ms) / 1000
        if abs(jump_s) > CLOCK_JUMP_SECONDS:
            self._limited_log.warning("clock_jumps", f"the wall clock was set by {jump_s:+.1f} s", key=f"{jump_s:+.1f}")
        # A clock that is adjusted slowly does not jump.
        self._clock_offset_ms = offset_ms
