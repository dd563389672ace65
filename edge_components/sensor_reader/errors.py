"""The error tree of the sensor reader.

::

    SensorReaderError
    ├── SourceError    a source cannot start or continue; it is retried
    ├── ProtocolError  a peer sent bytes that its protocol does not allow
    └── RejectedError  one reading cannot be taken; ``reason`` is the counter it is counted under
        ├── EmptyPayloadError   an empty payload, which clears a retained message
        ├── IgnoredError        the configuration states that the field is not a measurement
        ├── UnusableTimeError   the device's clock is not set or far ahead
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


class IgnoredError(RejectedError):
    """The configuration states that the field is not a measurement."""

    def __init__(self, name: str) -> None:
        super().__init__("fields_skipped", f"{name[:80]} is ignored")


class UnusableTimeError(RejectedError):
    """The device's clock is not set, or far ahead of the gateway's."""


class CollisionError(RejectedError):
    """Another origin provides the series; ``last_active`` is when (monotonic seconds) it last did."""

    def __init__(self, text: str, last_active: float) -> None:
        super().__init__("rejected_collision", text)
        self.last_active = last_active
