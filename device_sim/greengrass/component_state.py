"""States of a component, the commands to its supervisor, and the limits that it is supervised within. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from device_sim.greengrass.profile import RestartRules


class State(StrEnum):
    """LifecycleState of the IPC model."""

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"
    FINISHED = "FINISHED"


READY = frozenset({State.RUNNING, State.FINISHED})
ACTIVE = frozenset({State.STARTING, State.RUNNING})
ENDED = frozenset({State.ERRORED, State.BROKEN, State.FINISHED})
STOP_SECONDS = 5.0
"""Seconds from SIGTERM to SIGKILL on the Java nucleus; systemd waits longer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Rules for restarting and stopping a component."""

    restarts: RestartRules
    binds_hard: bool = False
    """The end of a HARD dependency stops the component permanently."""
    soft_orders: bool = False
    """A SOFT dependency is started first."""
    installs_first: bool = False
    """Start no component before every install step has ended."""
    stop: float = STOP_SECONDS
    """Seconds from SIGTERM to SIGKILL."""


class Command(IntEnum):
    """Command to a supervisor; the highest one wins while several are pending."""

    FAIL = 0
    RESTART = 1
    REINSTALL = 2
    STOP = 3
    REMOVE = 4
