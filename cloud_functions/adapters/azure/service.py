"""Clients and error handling for all Azure services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError

from cloud_functions.core.errors import StoreError
from cloud_functions.core.metrics import Metrics

CONNECT_S, READ_S = 2, 5
"""Short timeouts, so that a hanging service costs one retry and not the invocation."""
OPTIONS: dict[str, Any] = {
    "retry_total": 3,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 2,
    "user_agent": "strandline",
    # Each request would be logged at the level INFO otherwise.
    "logging_enable": False,
}

THROTTLED = (429, 503)
"""Statuses by which a service limits the rate of requests."""


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Convert SDK errors inside the block to a StoreError that names the operation."""
    try:
        yield
    except AzureError as error:
        raise StoreError(f"{what}: {type(error).__name__}: {str(error)[:300]}") from error


def count_throttles(metrics: Metrics) -> Any:
    """Return a hook for the responses of a client that counts ``throttles``, also those that the client repeats."""

    def count(response: Any) -> None:
        if response.http_response.status_code in THROTTLED:
            metrics.count("throttles")

    return count


def status_of(error: BaseException | None) -> int:
    """Return the HTTP status of an error, 0 for another error."""
    return int(error.status_code or 0) if isinstance(error, HttpResponseError) else 0
