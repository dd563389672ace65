"""The error tree of the forwarder.

::

    ForwarderError
    └── SpoolError            the spool cannot be opened or written: names the file and SQLite's reason
        ├── SpoolFullError    no room for more rows; what is in the spool is untouched
        └── SpoolUnusableError this connection is of no more use: open the spool again
            ├── SpoolReadOnlyError the file system was read-only when the file was opened
            ├── SpoolLostError     SQLite rolled back what it had not committed; the journal has it
            └── SpoolDamagedError  the file is no sound database any more; opening it recovers it
"""

from edge_components.common.errors import EdgeError


class ForwarderError(EdgeError):
    """Base of every error that the forwarder raises."""


class SpoolError(ForwarderError):
    """The spool cannot be opened or written."""


class SpoolFullError(SpoolError):
    """The spool has no room for more rows."""


class SpoolUnusableError(SpoolError):
    """The connection to the spool cannot be used any more; opened again, it can."""


class SpoolReadOnlyError(SpoolUnusableError):
    """The spool was opened while its file system was read-only; SQLite stays so until it is opened again."""


class SpoolLostError(SpoolUnusableError):
    """SQLite rolled back all that it had not committed; the journal has it."""


class SpoolDamagedError(SpoolUnusableError):
    """The spool's file is no sound database any more."""
