"""Execution of a fault plan, with one thread and log line per fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from device_sim.chaos.action import Action
from device_sim.chaos.actions import SystemUnderTest, actions
from device_sim.chaos.errors import ChaosError
from device_sim.chaos.schedule import Planned

READY_SECONDS = 20.0
"""Maximum wait of a fault for its target, such as a component that is restarting."""

RETRY_SECONDS = 0.1
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Done:
    """Result of a fault: the time since the start of the plan, a description, and the ``error`` of a failure."""

    kind: str
    began_s: float
    what: str
    error: str = ""


class Faults:
    """Executor of a plan; :meth:`finish` returns when every fault has ended."""

    def __init__(self, system: SystemUnderTest, log: Log) -> None:
        self._log = log
        self._actions = actions(system)
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._dispatcher: threading.Thread | None = None
        self._threads: list[threading.Thread] = []
        self._done: list[Done] = []
        self._lock = threading.Lock()

    def begin(self, plan: tuple[Planned, ...]) -> None:
        """Begin."""
        self._began = time.monotonic()
        self._dispatcher = threading.Thread(target=self._dispatch, args=(plan,), name="faults", daemon=True)
        self._dispatcher.start()

    @property
    def running(self) -> bool:
        """True while faults are pending or active."""
        return self._dispatcher is not None and self._dispatcher.is_alive()

    @property
    def ended(self) -> int:
        """Number of faults that have ended."""
        with self._lock:
            return len(self._done)

    def finish(self, at_once: bool = False) -> tuple[Done, ...]:
        """Wait until all faults have ended and return them; ``at_once`` ends active ones now and skips the rest."""
        if at_once:
            self._stop.set()
        if self._dispatcher is not None:
            self._dispatcher.join()
        return tuple(sorted(self._done, key=lambda done: done.began_s))

    def _dispatch(self, plan: tuple[Planned, ...]) -> None:
        for planned in plan:
            if self._stop.wait(max(0.0, self._began + planned.at_s - time.monotonic())):
                break
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(
                threading.Thread(target=self._run, args=(planned,), name=planned.kind.name, daemon=True)
            )
            self._threads[-1].start()
        for thread in self._threads:
            thread.join()

    def _run(self, planned: Planned) -> None:
        action = self._actions[planned.kind.name](planned.choice)
        began = time.monotonic() - self._began
        what, error = "", ""
        try:
            what = self._apply(action)
            self._log(f"{planned.kind.name}: {what}")
            self._stop.wait(planned.until_s - planned.at_s)
        except (ChaosError, OSError, psutil.Error) as problem:
            error = f"{type(problem).__name__}: {problem}"
        except Exception as problem:  # noqa: BLE001 # outermost edge of a thread: the error goes into the report
            error = f"{type(problem).__name__}: {problem}"
        try:
            action.undo()
        except Exception as problem:  # noqa: BLE001 # as above
            error += f" undo: {type(problem).__name__}: {problem}"
        ended = time.monotonic() - self._began
        if error:
            self._log(f"{planned.kind.name}: FAILED: {error}")
        elif ended - began > RETRY_SECONDS and planned.until_s > planned.at_s:
            self._log(f"{planned.kind.name}: over after {ended - began:.1f} s")
        with self._lock:
            self._done.append(Done(planned.kind.name, began, what, error))

    def _apply(self, action: Action) -> str:
        """Apply the action, and retry while it has no target; raises ChaosError after READY_SECONDS."""
        deadline = time.monotonic() + READY_SECONDS
        while (what := action.apply()) is None:
            if time.monotonic() > deadline or self._stop.wait(RETRY_SECONDS):
                raise ChaosError(f"no target within {READY_SECONDS:g} s")
        return what
