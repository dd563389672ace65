"""The error tree of the simulation (the local nucleus and the local cloud have trees of their own).

::

    SimulationError
    ├── PlantError       an invalid plant, fault or schedule
    ├── BrokerError      the sensors' broker does not start or does not answer
    ├── DeviceError      a simulated device with a protocol of its own does not start, or fails
    ├── BuildError       recipes or components that cannot be built
    └── DemoError        a part of the demo failed
"""


class SimulationError(Exception):
    """Base of every error that device_sim raises itself."""


class PlantError(SimulationError):
    """An invalid plant, fault or schedule; names the value and what is allowed."""


class BrokerError(SimulationError):
    """The sensors' broker does not start or does not answer; names host, port and cause."""


class DeviceError(SimulationError):
    """A simulated device with a protocol of its own does not start, or fails; names machine, protocol and address."""


class BuildError(SimulationError):
    """A recipe or a component cannot be built; names the file and the cause."""


class DemoError(SimulationError):
    """A part of the demo failed; names the part and the path of its log."""
