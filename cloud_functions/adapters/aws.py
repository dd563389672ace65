"""Clients and error handling for all AWS services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud_functions.core.errors import StoreError

CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=2,
    read_timeout=5,
    # More are not needed: a function sends its requests one after the other.
    max_pool_connections=4,
    # A third of the CPU time of a request otherwise: the services check requests themselves, and the SDK composes its
    # user agent anew for each.
    parameter_validation=False,
    user_agent="strandline",
)


def client(service: str) -> Any:
    """Return a client with short timeouts, so that a hanging service costs one retry and not the invocation."""
    return boto3.client(service, config=CONFIG)


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
