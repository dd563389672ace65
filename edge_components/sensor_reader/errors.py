"""The error tree of the sensor reader.

::

    SensorReaderError
    ├── SourceError    a source cannot begin or go on; it is tried again
    └── RejectedError  one reading cannot be taken; ``reason`` is what it is counted under
"""

from edge_components.common.errors import EdgeError


class SensorReaderError(EdgeError):
    """Base of every error that the sensor reader raises."""


class SourceError(SensorReaderError):
    """A source cannot begin or go on; the text says why and where."""


class RejectedError(SensorReaderError):
    """One reading cannot be taken."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
