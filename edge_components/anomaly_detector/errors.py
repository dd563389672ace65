"""The error tree of the anomaly detector.

::

    DetectorError
    ├── ModelRefusedError     a model that is not what its manifest says, or that failed its trial; says why
    ├── TrialInterruptedError a validation that was ended from outside; says nothing about the model
    └── StateError            a kept state that cannot be read; calibration starts anew
"""

from edge_components.common.errors import EdgeError


class DetectorError(EdgeError):
    """Base of the errors of this package."""


class ModelRefusedError(DetectorError):
    """A model is not what its manifest says, or failed its trial; the text says why."""


class TrialInterruptedError(DetectorError):
    """The child that validates a model was asked to stop, as all processes are when the component is stopped."""


class StateError(DetectorError):
    """A kept state cannot be read or is of another layout."""
