"""The error tree of the local cloud.

::

    CloudSimError
    ├── PortTakenError    a port that was asked for is in use
    ├── StartError        the emulator cannot run here, or did not come up
    └── DeployError       the template was refused; names the resources and why
"""


class CloudSimError(Exception):
    """Base of every error that this package raises."""


class PortTakenError(CloudSimError):
    """A port that was asked for is in use."""


class StartError(CloudSimError):
    """The emulator cannot run here, or did not come up."""


class DeployError(CloudSimError):
    """The template was refused."""
