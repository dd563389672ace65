"""The error tree of the local cloud.

::

    CloudSimError
    ├── PortTakenError    a requested port is in use
    ├── StartError        the emulator cannot run here or did not start
    ├── DeployError       the template was rejected; names the resources and the reasons
    └── SavedDataError    saved data cannot be read or written; names the file and what to do
"""


class CloudSimError(Exception):
    """Base of the errors of this package."""


class PortTakenError(CloudSimError):
    """A requested port is in use."""


class StartError(CloudSimError):
    """The emulator cannot run here or did not start."""


class DeployError(CloudSimError):
    """The template was rejected; names the resources and the reasons."""


class SavedDataError(CloudSimError):
    """Saved data cannot be read or written; names the file and what to do."""
