"""Runs a plan of faults: one thread per fault while it lasts, one line in the log for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from device_sim.chaos.action import Action
from device_sim.chaos.actions import World, actions
from device_sim.chaos.errors import ChaosError
from device_sim.chaos.schedule import Planned

READY_SECONDS = 20.0
"""How long a fault waits for its target, such as a component that is being restarted."""

RETRY_SECONDS = 0.1
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Done:
    """One fault as it was: seconds since the faults began and a description; ``error`` is why it was not caused."""

    kind: str
    began_s: float
    ended_s: float
    what: str
    error: str = ""


class Faults:
    """Runs a plan; :meth:`finish` returns when every fault has ended."""

    def __init__(self, world: World, say: Say) -> None:
        self._say = say
        self._actions = actions(world)
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
        """Whether faults are still to come or to end."""
        return self._dispatcher is not None and self._dispatcher.is_alive()

    def finish(self, at_once: bool = False) -> tuple[Done, ...]:
        """Wait until all have ended and return them; ``at_once`` ends the present ones now and starts no more."""
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
            self._say(f"{planned.kind.name}: {what}")
            self._stop.wait(planned.until_s - planned.at_s)
        except (ChaosError, OSError, psutil.Error) as problem:
            error = f"{type(problem).__name__}: {problem}"
        except Exception as problem:  # noqa: BLE001 # a thread's outermost edge: the error goes into the report
            error = f"{type(problem).__name__}: {problem}"
        try:
            action.undo()
        except Exception as problem:  # noqa: BLE001 # as above
            error += f" undo: {type(problem).__name__}: {problem}"
        ended = time.monotonic() - self._began
        if error:
            self._say(f"{planned.kind.name}: FAILED: {error}")
        elif ended - began > RETRY_SECONDS and planned.until_s > planned.at_s:
            self._say(f"{planned.kind.name}: over after {ended - began:.1f} s")
        with self._lock:
            self._done.append(Done(planned.kind.name, began, ended, what, error))

    def _apply(self, action: Action) -> str:
        """Apply, trying again while there is nothing to break; raises ChaosError after READY_SECONDS."""
        deadline = time.monotonic() + READY_SECONDS
        while (what := action.apply()) is None:
            if time.monotonic() > deadline or self._stop.wait(RETRY_SECONDS):
                raise ChaosError(f"nothing to break within {READY_SECONDS:g} s")
        return what
