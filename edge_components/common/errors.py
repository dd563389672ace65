"""Errors of the edge.

::

    EdgeError
    ├── ConfigError
    ├── BusError
    │   ├── UnauthorizedError
    │   ├── UnsupportedError
    │   ├── ConnectionLostError
    │   ├── ConnectionRefusedByNucleusError
    │   └── NoNucleusError
    ├── CredentialsError
    ├── RequirementError
    ├── RuntimeEnvironmentError
    └── HandoverError
"""

from collections.abc import Sequence


class EdgeError(Exception):
    """Base of every error that edge components raise."""


class ConfigError(EdgeError):
    """The configuration is invalid; ``problems`` has a sentence for each invalid key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class BusError(EdgeError):
    """The nucleus rejected an operation or failed to perform it."""


class UnauthorizedError(BusError):
    """The recipe's accessControl does not allow the operation."""


class UnsupportedError(BusError):
    """The nucleus does not support the operation (nucleus lite lacks some)."""


class ConnectionLostError(BusError):
    """The IPC connection is lost; the bus connects again."""


class ConnectionRefusedByNucleusError(BusError):
    """The nucleus is reachable and rejects this process; a new process gets a new token."""


class NoNucleusError(BusError):
    """The process was not started by a nucleus: its environment does not name a socket."""


class HandoverError(EdgeError):
    """An outbox is full."""


class CredentialsError(EdgeError):
    """Files of certificates, keys or passwords cannot be used; names the files and the cause."""


class RequirementError(EdgeError):
    """A line of a requirements file is invalid; names the line."""


class RuntimeEnvironmentError(EdgeError):
    """The shared Python environment is unusable or cannot be created; names the cause and, if known, the remedy."""
