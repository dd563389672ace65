"""The error tree of the sensor reader.

::

    SensorReaderError
    ├── SourceError    a source cannot start or continue; it is retried
    │   └── MissingPackageError  a library that only this kind needs is not installed
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
    """A source cannot start or continue; the text names the peer or file, and the cause."""


class MissingPackageError(SourceError):
    """A library that only this kind of source needs is not installed; ``extra`` is the group it belongs to."""

    def __init__(self, package: str, extra: str, error: ImportError) -> None:
        super().__init__(
            f"the package {package} is not installed ({error}): set extras of io.strandline.Runtime to {extra}, or "
            f"outside a gateway install strandline[{extra}]; docs/sources.md, Packages"
        )


class ProtocolError(SensorReaderError):
    """A peer sent bytes that its protocol does not allow."""


class RejectedError(SensorReaderError):
    """One reading cannot be taken."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason

    def with_payload(self, payload: bytes) -> str:
        """Return the text with the first bytes of the payload, unless it has them."""
        text = str(self)
        return text if not payload or repr(payload[:20])[2:-1] in text else f"{text}; payload {payload[:40]!r}"


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
