"""Error handling for all Google Cloud services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from cloud_functions.core.errors import StoreError

OPERATION_S, ATTEMPT_S = 10.0, 3.0
"""Time limits of an operation and of one of its attempts, so that a hanging service does not cost the invocation."""
TIMES: dict[str, Any] = {"operation_timeout": OPERATION_S, "attempt_timeout": ATTEMPT_S}
"""The same as options of Bigtable's client."""


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Convert errors of the client libraries inside the block to a StoreError that names the operation."""
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise StoreError(f"{what}: {type(error).__name__}: {str(error)[:300]}") from error
    except ExceptionGroup as group:  # of a request with several mutations
        raise StoreError(f"{what}: {type(group).__name__}: {str(group.exceptions[0])[:300]}") from group
