"""Clients and error handling for all AWS services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud_functions.core.errors import StoreError
from cloud_functions.core.metrics import Metrics

CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=2,
    read_timeout=5,
    # More are not needed: a function sends its requests one after the other.
    max_pool_connections=4,
    # A third of the CPU time of a request otherwise: the services check requests themselves, and the SDK composes its
    # user agent again for each.
    parameter_validation=False,
    user_agent="strandline",
)

THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Codes of errors by which a service limits the rate of requests."""


def client(service: str, metrics: Metrics | None = None) -> Any:
    """Return a client with short timeouts, so that a hanging service costs one retry and not the invocation.

    ``metrics`` counts ``throttles``: every response by which the service limits the rate, also where the client's own
    repetition succeeds.
    """
    made = boto3.client(service, config=CONFIG)
    if metrics is not None:
        count_throttles(made, metrics)
    return made


def count_throttles(made: Any, metrics: Metrics) -> None:
    """Count the throttled requests of a boto3 client."""

    def count(response: Any = None, **_: Any) -> None:
        # The answer is None after an error of the connection, else the HTTP response and the parsed body.
        code = "" if response is None else str((response[1].get("Error") or {}).get("Code", ""))
        if code in THROTTLES:
            metrics.count("throttles")

    made.meta.events.register("needs-retry", count)


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Convert SDK errors inside the block to a StoreError that names the operation."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StoreError(f"{what}: {type(error).__name__}: {str(error)[:300]}") from error


def error_code(error: ClientError) -> str:
    """Return the service's own code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))
