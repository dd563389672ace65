"""The error tree of the edge.

::

    EdgeError
    ├── ConfigError           values that the configuration does not allow; one line a bad key
    ├── BusError              the nucleus refused or could not do what was asked
    │   ├── UnauthorizedError the recipe's accessControl does not allow it
    │   ├── UnsupportedError  this nucleus does not have the operation
    │   ├── ConnectionLostError   the IPC connection is gone: the bus connects again
    │   ├── ConnectionRefusedByNucleusError   the nucleus does not accept this process
    │   └── NoNucleusError        the process was not started by a nucleus
    ├── RequirementError      a line of a requirements file that is not understood
    ├── RuntimeEnvironmentError   the shared Python environment is not usable, or cannot be made
    └── HandoverError         an outbox is full and its source cannot wait
"""

from collections.abc import Sequence


class EdgeError(Exception):
    """Base of every error that edge components raise."""


class ConfigError(EdgeError):
    """The configuration does not validate; ``problems`` has one sentence a bad key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class BusError(EdgeError):
    """The nucleus refused or could not do what was asked."""


class UnauthorizedError(BusError):
    """The recipe's accessControl does not allow the operation."""


class UnsupportedError(BusError):
    """This nucleus does not have the operation (nucleus lite lacks some)."""


class ConnectionLostError(BusError):
    """The IPC connection is gone; the bus connects again, and what was refused is tried again later."""


class ConnectionRefusedByNucleusError(BusError):
    """The nucleus is there and does not accept this process; a new process gets a new token."""


class NoNucleusError(BusError):
    """The process was not started by a nucleus: its environment names no socket."""


class HandoverError(EdgeError):
    """An outbox is full."""


class RequirementError(EdgeError):
    """A line of a requirements file is not understood; names the line."""


class RuntimeEnvironmentError(EdgeError):
    """The shared Python environment is not usable or cannot be made; names the cause and, where known, the remedy."""
