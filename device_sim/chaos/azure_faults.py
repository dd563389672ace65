"""Faults of the functions of Azure and of the services that they use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from device_sim.chaos.action import Action

if TYPE_CHECKING:  # the packages of Azure are optional
    from device_sim.azure.function_faults import FunctionFaults
    from device_sim.azure.local import LocalAzure

Make = Callable[[float], Action]
MAX_REQUESTS = 24
"""Exclusive upper bound of the requests after which a function is stopped; an invocation of ingest makes about ten."""
BUSY_SECONDS = 3.0
"""Time in which the table service rejects an invocation with all its retries."""


def azure_faults(azure: LocalAzure) -> dict[str, Make]:
    """Return the functions that create the action of each fault from a random choice."""
    faults = azure.faults
    return {
        "function stopped": lambda choice: (
            _Once(
                lambda: faults.stop_after(1 + int(choice * MAX_REQUESTS)),
                lambda: faults.stop_planned,
                f"after {1 + int(choice * MAX_REQUESTS)} requests",
            ).action
        ),
        "functions host restarted": lambda _: Action(lambda: _restart(faults)),
        "table storage busy": lambda _: Action(lambda: _set_busy(faults, True), lambda: _set_busy(faults, False)),
        "IoT Hub throttled": lambda _: Action(lambda: _throttle(azure, True), lambda: _throttle(azure, False)),
        "events processed twice": lambda _: (
            _Once(
                lambda: faults.run_twice("events"),
                lambda: faults.planned_twice("events"),
                "a batch of events, by two processes at the same time",
            ).action
        ),
        "queue message processed twice": lambda _: (
            _Once(
                lambda: _run_message_twice(faults),
                lambda: faults.planned_twice("messages"),
                "a message of a queue, by two processes at the same time",
            ).action
        ),
    }


class _Once:
    """Fault that is planned, and happens when a function works next."""

    def __init__(self, begin: Callable[[], None], planned: Callable[[], bool], what: str) -> None:
        self._begin, self._planned, self._what = begin, planned, what
        self._begun = False
        self.action = Action(self._apply)

    def _apply(self) -> str | None:
        if not self._begun:
            self._begun = True
            self._begin()
        return None if self._planned() else self._what


def _restart(faults: FunctionFaults) -> str:
    faults.restart_host()
    return "each function stops at its next request"


def _set_busy(faults: FunctionFaults, busy: bool) -> str:
    faults.tables_busy = busy
    return "every request is answered with 503"


def _throttle(azure: LocalAzure, throttled: bool) -> str:
    azure.hub.throttled = throttled
    return "every request is answered with 429"


def _run_message_twice(faults: FunctionFaults) -> None:
    """Have batches go to the queue of those that were not stored, and their next message to two processes."""
    faults.tables_busy = True
    time.sleep(BUSY_SECONDS)
    faults.tables_busy = False
    faults.run_twice("messages")
