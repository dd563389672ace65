"""The error tree of the chaos harness.

::

    ChaosError (a SimulationError)
    ├── PacketError     bytes that are not an MQTT 3.1.1 packet
    ├── ScheduleError   faults that do not fit the given time
    └── UnprovableError a program that a run needs is not installed
"""

from __future__ import annotations

from device_sim.errors import SimulationError


class ChaosError(SimulationError):
    """Base of every error that this package raises: a part of the run failed."""


class PacketError(ChaosError):
    """Bytes that are not an MQTT 3.1.1 packet."""


class ScheduleError(ChaosError):
    """Faults that do not fit the given time."""


class UnprovableError(ChaosError):
    """A program that a run needs is not installed; names the program and its package."""
