"""Settings of the functions, passed by the template as environment variables."""

from __future__ import annotations

import os

from cloud_functions.core.errors import CloudError


def text(name: str, default: str | None = None) -> str:
    """Return a variable; raises CloudError for one that is missing and has no default."""
    value = os.environ.get(name, default)
    if value is None or value == "":
        raise CloudError(f"environment variable {name} is not set: template.yaml does")
    return value


def optional(name: str) -> str:
    """Return a variable, empty if it is not set."""
    return os.environ.get(name, "")


def number(name: str, default: int) -> int:
    """Return a variable that is a whole number of at least 0; raises CloudError for anything else."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise CloudError(f"environment variable {name}={value!r}: a whole number, 0 or more")
    return int(value)
