"""The error tree of the wire.

::

    WireError
    ├── ModelError            a value that the model does not allow, found before it is encoded
    ├── TooLargeError         an encoded batch above the size its carrier takes
    └── DecodeError           bytes that are no batch (or no acknowledgement)
        ├── MagicError        they do not begin as a batch does
        ├── VersionError      a major version that this reader does not know
        ├── ChecksumError     they were changed on the way
        ├── LimitError        they claim more rows or bytes than a batch may hold
        ├── UnknownProfileError   they name a profile that the reader does not have
        └── FormatError       anything else that is malformed; names the field and the offset
"""


class WireError(Exception):
    """Base of every error that this package raises."""


class ModelError(WireError):
    """A value that the model does not allow; names the field, the value and what is allowed."""


class TooLargeError(WireError):
    """An encoded batch that exceeds the size limit given."""


class DecodeError(WireError):
    """Bytes that cannot be read as what they should be."""


class MagicError(DecodeError):
    """The bytes do not begin with a batch's magic."""


class VersionError(DecodeError):
    """The batch has a major version that this reader does not know."""


class ChecksumError(DecodeError):
    """The batch's CRC32 does not match its bytes."""


class LimitError(DecodeError):
    """The batch claims more rows or bytes than is allowed."""


class UnknownProfileError(DecodeError):
    """The batch names a profile that the reader does not have; ``version`` is its name."""

    def __init__(self, version: int) -> None:
        super().__init__(f"profile {version} is not known here: it must be sent again")
        self.version = version


class FormatError(DecodeError):
    """The batch is malformed in a way that no narrower error names."""
