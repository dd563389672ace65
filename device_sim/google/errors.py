"""Errors of the stand-ins of Google Cloud.

::

    SimulationError
    └── GoogleError
        └── EmulatorMissingError
"""

from device_sim.errors import SimulationError


class GoogleError(SimulationError):
    """A stand-in cannot be started or used."""


class EmulatorMissingError(GoogleError):
    """An emulator is not installed; the text has the command that installs it."""
