"""Error tree of the wire package.

::

    WireError
    ├── ModelError            a value that the data model does not allow, found before encoding
    ├── TooLargeError         an encoded batch above the size limit of its transport
    └── DecodeError           bytes that are not a valid batch (or acknowledgement)
        ├── MagicError        wrong magic number
        ├── VersionError      unknown major version
        ├── ChecksumError     corrupted in transit
        ├── LimitError        more rows or bytes than a batch may hold
        ├── UnknownProfileError   encoded against a profile that the reader does not have
        └── FormatError       any other malformation; names the field and the offset
"""


class WireError(Exception):
    """Base class of all errors of this package."""


class ModelError(WireError):
    """A value that the data model does not allow; names the field, the value and the allowed range."""


class TooLargeError(WireError):
    """An encoded batch that exceeds the size limit given."""


class DecodeError(WireError):
    """Bytes that cannot be decoded."""


class MagicError(DecodeError):
    """The bytes do not begin with a batch's magic."""


class VersionError(DecodeError):
    """The batch has a major version that this reader does not know."""


class ChecksumError(DecodeError):
    """The batch's CRC32 does not match its bytes."""


class LimitError(DecodeError):
    """The batch claims more rows or bytes than is allowed."""


class UnknownProfileError(DecodeError):
    """The batch needs a profile that the reader does not have; ``version`` identifies it."""

    def __init__(self, version: int) -> None:
        super().__init__(f"profile {version} is unknown: it must be sent again")
        self.version = version


class FormatError(DecodeError):
    """The batch is malformed in a way that no narrower error names."""
