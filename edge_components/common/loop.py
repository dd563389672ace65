"""A component's loop: a queue of calls and the one thread that makes them.

The thread sleeps until a call is posted or until something is due: each :data:`Tick` returns the seconds until it must
be called next, so an idle component wakes up about once a second.
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
"""Does what is due and returns the seconds until it must be called next at the latest."""


def _nothing() -> None:
    """Do nothing: the call that :meth:`Loop.wake` posts."""


class Periodic:
    """A tick that makes a call every ``interval_s`` seconds, for the first time after one interval."""

    def __init__(self, interval_s: float, call: Call, clock: Clock) -> None:
        self._interval_s, self._call, self._clock = interval_s, call, clock
        self._due = clock.monotonic() + interval_s

    def __call__(self) -> float:
        """Make the call where it is due; return the seconds until it is due again."""
        now = self._clock.monotonic()
        if now >= self._due:
            self._due = now + self._interval_s  # before the call, which may fail
            self._call()
        return max(0.0, self._due - now)


class Loop:
    """A queue of calls and the one thread that makes them."""

    def __init__(self, log: logging.Logger, limited_log: RateLimitedLog, clock: Clock, size: int = QUEUE_SIZE) -> None:
        # Unlike queue.Queue, a SimpleQueue can be put to from a signal handler.
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._log, self._limited_log, self._clock, self._size = log, limited_log, clock, size
        self._exit: int | None = None
        self._broken = self._woken = False
        self._clock_offset_ms = self._offset_ms()

    @property
    def stopping(self) -> bool:
        """Whether the loop was asked to end."""
        return self._exit is not None

    def post(self, call: Call) -> None:
        """Run a call on the loop, from any thread; over the queue's size it is dropped and counted (senders repeat)."""
        if self._calls.qsize() >= self._size:
            self._limited_log.warning("loop_overflow", f"more than {self._size} messages wait; the rest is dropped")
        else:
            self._calls.put(call)

    def post_always(self, call: Call) -> None:
        """Run a call on the loop, from any thread, however many wait: for rare events that nobody repeats."""
        self._calls.put(call)

    def wake(self) -> None:
        """Let the ticks run soon, from any thread; many calls in a row wake the loop once."""
        if not self._woken:
            self._woken = True
            self._calls.put(_nothing)

    def stop(self, code: int = 0) -> None:
        """Ask the loop to end with an exit code; the first one counts. Safe from a signal handler."""
        if self._exit is None:
            self._exit = code
            self._calls.put(_nothing)

    def run(self, ticks: Sequence[Tick]) -> int:
        """Make calls and ticks until stopped and return the exit code; a failing one is logged and blocks no other."""
        while self._exit is None:
            wait_s = MAX_SLEEP_SECONDS
            for tick in ticks:
                wait_s = min(wait_s, self._next_s(tick))
            self._watch_clock()
            if self._exit is None:
                self._make_calls(wait_s)
        return self._exit

    def guard(self, call: Call) -> None:
        """Make a call at the loop's outermost edge: an error is logged and counted and does not end the loop.

        But where memory ran out, any step may be half done, and what is on disk is all that can be trusted: the loop
        ends at once, and makes no more calls.
        """
        if self._broken:
            return
        try:
            call()
        except BusError as error:
            self._limited_log.warning("bus_errors", str(error))
        except MemoryError:
            self._broken = True
            self._exit = EXIT_SOFTWARE  # whatever was asked before: this is no good end
            self._log.exception("out of memory; the component ends and is to be started again from what is on disk")
        except Exception as error:  # noqa: BLE001 # the loop's outermost edge: one poisonous item must not stop the rest
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} in {frame.name}, line {frame.lineno}"
            self._limited_log.exception("errors", "a call failed; the loop goes on", key=place)

    def _make_calls(self, wait_s: float) -> None:
        """Wait for a call, and make all that wait."""
        try:
            call = self._calls.get(timeout=wait_s) if wait_s > 0 else self._calls.get_nowait()
        except queue.Empty:
            return
        self._woken = False
        self.guard(call)
        for _ in range(self._calls.qsize()):
            if self._exit is not None:
                return
            self.guard(self._calls.get_nowait())

    def _next_s(self, tick: Tick) -> float:
        next_s = MAX_SLEEP_SECONDS

        def call() -> None:
            nonlocal next_s
            next_s = tick()

        self.guard(call)
        return next_s

    def _offset_ms(self) -> float:
        return self._clock.wall_ms() - 1000 * self._clock.monotonic()

    def _watch_clock(self) -> None:
        """Log a wall clock that was set: times that were given by it before and after do not fit together."""
        offset_ms = self._offset_ms()
        jump_s = (offset_ms - self._clock_offset_ms) / 1000
        if abs(jump_s) > CLOCK_JUMP_SECONDS:
            self._limited_log.warning("clock_jumps", f"the wall clock was set by {jump_s:+.1f} s", key=f"{jump_s:+.1f}")
        # A clock that is slowly brought to the right time does not jump.
        self._clock_offset_ms = offset_ms
