"""The error tree of the forwarder.

::

    ForwarderError
    └── SpoolError            the spool cannot be opened or written: names the file and what SQLite said
        ├── SpoolFullError    no room for more rows; what is in the spool is untouched
        ├── SpoolReadOnlyError the file cannot be written through this connection, nor ever will: open it again
        └── SpoolDamagedError the file is no sound database any more: open it again, which recovers it
"""

from edge_components.common.errors import EdgeError


class ForwarderError(EdgeError):
    """Base of every error that the forwarder raises."""


class SpoolError(ForwarderError):
    """The spool cannot be opened or written."""


class SpoolFullError(SpoolError):
    """The spool has no room for more rows."""


class SpoolReadOnlyError(SpoolError):
    """The spool was opened while its file system was read-only; SQLite stays so until it is opened again."""


class SpoolDamagedError(SpoolError):
    """The spool's file is no sound database any more."""
