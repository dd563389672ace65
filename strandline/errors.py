"""The error tree of the command-line tool.

::

    StrandlineError
    ├── CommandError     a command cannot do its work with these options or files
    ├── AccountError     an AWS account or the stack in it cannot be read
    ├── ApiError         the API of a stack refuses a request, or does not answer
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


class ApiError(StrandlineError):
    """The API refuses a request, or does not answer; ``status`` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class TableError(StrandlineError):
    """A recorded table cannot be read, scored or written; names the file, and the row or the column."""


class TrainingError(StrandlineError):
    """A model cannot be trained from the data, or cannot be packed; names the file, the option or the extra."""


def reason(error: Exception) -> str:
    """Return the cause of an error without the number and the name that Python adds to an error of a file."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
