"""The error tree of the chaos harness.

::

    ChaosError (a SimulationError)
    ├── PacketError     bytes that are no MQTT 3.1.1 packet
    ├── ScheduleError   faults that cannot be laid into the time given
    └── UnprovableError this machine lacks what a run needs
"""

from __future__ import annotations

from device_sim.errors import SimulationError


class ChaosError(SimulationError):
    """Base of every error that this package raises: a part of the run did not do what it must."""


class PacketError(ChaosError):
    """Bytes that are no MQTT 3.1.1 packet."""


class ScheduleError(ChaosError):
    """Faults that cannot be laid into the time given."""


class UnprovableError(ChaosError):
    """This machine lacks what a run needs; names what, and how to get it."""
