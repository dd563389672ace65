"""Errors of the forwarder.

::

    ForwarderError
    └── SpoolError
        ├── SpoolFullError
        └── SpoolUnusableError
            ├── SpoolReadOnlyError
            ├── SpoolLostError
            └── SpoolDamagedError
"""

from edge_components.common.errors import EdgeError


class ForwarderError(EdgeError):
    """Base of every error that the forwarder raises."""


class SpoolError(ForwarderError):
    """The spool cannot be opened or written; names the file and the reason of SQLite or the system."""


class SpoolFullError(SpoolError):
    """The spool has no room for more rows; its content is unchanged."""


class SpoolUnusableError(SpoolError):
    """The connection to the spool is unusable; the spool must be opened again."""


class SpoolReadOnlyError(SpoolUnusableError):
    """The file system was read-only when the spool was opened; the connection stays read-only until it is closed."""


class SpoolLostError(SpoolUnusableError):
    """SQLite rolled back its open transaction; opening the spool again replays the journal."""


class SpoolDamagedError(SpoolUnusableError):
    """The database file is damaged; opening the spool recovers its content."""
