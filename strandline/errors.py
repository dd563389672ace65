"""The error tree of the command-line tool.

::

    StrandlineError
    ├── CommandError     a command cannot do its work with these options or files
    ├── AccountError     an AWS account or the stack in it cannot be read
    ├── TableError       a recorded table cannot be read, scored or written
    └── TrainingError    a model cannot be trained from the data, or cannot be packed

A build raises :class:`device_sim.errors.BuildError`, since the demo and chaos runs receive the build as a function.
"""


class StrandlineError(Exception):
    """Base of the errors of this package; the command line prints one as one line."""


class CommandError(StrandlineError):
    """A command cannot do its work; names the option or the file and the cause."""


class AccountError(StrandlineError):
    """An AWS account or the stack in it cannot be read; names the stack and the cause."""


class TableError(StrandlineError):
    """A recorded table cannot be read, scored or written; names the file, and the row or the column."""


class TrainingError(StrandlineError):
    """A model cannot be trained from the data, or cannot be packed; names the file, the option or the extra."""
