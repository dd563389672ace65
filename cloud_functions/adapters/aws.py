"""Clients and error handling for all AWS services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.session import Session

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


MODELS = Path(__file__).parents[1] / "service_models"
"""Reduced descriptions of the services in a function's package (device_sim/aws/service_models.py)."""


@lru_cache(maxsize=1)
def session() -> Session:
    """Return the SDK's session, which reads the descriptions of services in the package if it has them.

    boto3 adds resources and managed transfers to it, which no function uses, and a fifth to the time of its import.
    """
    made = Session()
    if MODELS.is_dir():
        made.register_component("data_loader", Loader([str(MODELS)], include_default_search_paths=False))
    return made


def client(service: str, metrics: Metrics | None = None) -> Any:
    """Return a client with short timeouts, so that a hanging service costs one retry and not the invocation.

    ``metrics`` counts ``throttles``: every response by which the service limits the rate, also where the client's own
    repetition succeeds.
    """
    made = session().create_client(service, config=CONFIG)
    if metrics is not None:
        count_throttles(made, metrics)
    return made


class LazyClient:
    """Client of a service that is rarely needed: it is made at its first request."""

    def __init__(self, service: str, metrics: Metrics | None = None) -> None:
        self._service, self._metrics = service, metrics

    @cached_property
    def _client(self) -> Any:
        return client(self._service, self._metrics)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def lazy_client(service: str, metrics: Metrics | None = None) -> Any:
    """Return a client that is made at its first request."""
    return LazyClient(service, metrics)


def count_throttles(made: Any, metrics: Metrics) -> None:
    """Count the throttled requests of a client."""

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
