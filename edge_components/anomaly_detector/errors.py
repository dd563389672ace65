"""The error tree of the anomaly detector.

::

    DetectorError
    ├── ModelRejectedError          a model that does not match its manifest, or failed its validation
    ├── ValidationInterruptedError  a validation that was stopped from outside; without a result
    └── StateError                  saved state that cannot be read; calibration restarts
"""

from edge_components.common.errors import EdgeError


class DetectorError(EdgeError):
    """Base of the errors of this package."""


class ModelRejectedError(DetectorError):
    """A model does not match its manifest, or failed its validation; the text has the reason."""


class ValidationInterruptedError(DetectorError):
    """The validation's child process received a stop signal, as all processes do when the component is stopped."""


class StateError(DetectorError):
    """Saved state cannot be read or has another layout."""
