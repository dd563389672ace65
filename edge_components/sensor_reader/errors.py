"""The error tree of the sensor reader.

::

    SensorReaderError
    ├── SourceError    a source cannot start or continue; it is retried
    ├── ProtocolError  a peer sent bytes that its protocol does not allow
    └── RejectedError  one reading cannot be taken; ``reason`` is the counter it is counted under
        ├── EmptyPayloadError   an empty payload, which clears a retained message and is no reading
        └── CollisionError      another origin already provides the series
"""

from edge_components.common.errors import EdgeError


class SensorReaderError(EdgeError):
    """Base of every error that the sensor reader raises."""


class SourceError(SensorReaderError):
    """A source cannot start or continue; the text names the place and the cause."""


class ProtocolError(SensorReaderError):
    """A peer sent bytes that its protocol does not allow."""


class RejectedError(SensorReaderError):
    """One reading cannot be taken."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class EmptyPayloadError(RejectedError):
    """A payload is empty: in MQTT, the way to clear a retained message."""

    def __init__(self) -> None:
        super().__init__("payloads_empty", "the payload is empty")


class CollisionError(RejectedError):
    """Another origin provides the series; ``heard`` is when (monotonic seconds) it last did."""

    def __init__(self, text: str, heard: float) -> None:
        super().__init__("rejected_collision", text)
        self.heard = heard
