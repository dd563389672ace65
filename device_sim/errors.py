"""The error tree of the simulation (the local nucleus and the local cloud have trees of their own).

::

    SimulationError
    ├── PlantError       a plant, a fault or a schedule that cannot be
    ├── BrokerError      the sensors' broker does not start, or does not answer
    ├── BuildError       recipes or components that cannot be packed
    ├── TrainingError    data that cannot be trained on, or a model that cannot be made or packed
    ├── AccountError     an AWS account, or the stack in it, that cannot be read
    └── DemoError        a part of the demo did not do what it must
"""


class SimulationError(Exception):
    """Base of every error that device_sim raises itself."""


class PlantError(SimulationError):
    """A plant, a fault or a schedule that cannot be; names the value and what is allowed."""


class BrokerError(SimulationError):
    """The sensors' broker does not start, or does not answer; names host, port and cause."""


class BuildError(SimulationError):
    """A recipe or a component that cannot be packed; names the file and the cause."""


class TrainingError(SimulationError):
    """Data cannot be trained on, or a model cannot be made or packed; names the file, the option or the extra."""


class AccountError(SimulationError):
    """An AWS account, or the stack in it, cannot be read; names the stack and the cause."""


class DemoError(SimulationError):
    """A part of the demo did not do what it must; names the part and where its log is."""
