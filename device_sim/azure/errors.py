"""Errors of the local Azure."""

from __future__ import annotations

from device_sim.errors import SimulationError


class AzureSimError(SimulationError):
    """Base class of the errors of the local Azure."""


class AzuriteMissingError(AzureSimError):
    """Azurite is not installed; the text has the command that installs it."""


class StartError(AzureSimError):
    """A part did not start."""
