"""The documents that configure alerting, read together and cached for a few seconds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from cloud_functions.core import channels, routes, rules, silences
from cloud_functions.core.channels import Channel
from cloud_functions.core.documents import Documents
from cloud_functions.core.errors import RequestError
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import NowMs, Table
from cloud_functions.core.routes import Route
from cloud_functions.core.rules import Rule
from cloud_functions.core.silences import Silence

CACHE_MS = 5_000
"""Time after which a changed document takes effect."""
T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class Configuration:
    """Rules, silences, routes and channels of the alerts table, each kind read when it is needed.

    A document that is not valid, such as one of a later version, is left out, logged and counted as
    ``invalid_documents``. Every method raises StoreError when the table fails.
    """

    def __init__(self, table: Table, now_ms: NowMs, metrics: Metrics | None = None, cache_ms: int = CACHE_MS) -> None:
        self._table, self._now_ms, self._cache_ms = table, now_ms, cache_ms
        self._metrics = metrics if metrics is not None else Metrics()
        self._cached: dict[str, tuple[int, Sequence[object]]] = {}

    def silences(self) -> Sequence[Silence]:
        """Return all silences, also those that are not active."""
        return self._all("silences", silences.parse)

    def rules(self) -> Sequence[Rule]:
        """Return the enabled rules."""
        return [rule for rule in self._all("rules", rules.parse) if rule.enabled]

    def routes(self) -> Sequence[Route]:
        """Return the configured routes and the built-in one, unless a document of its name replaces it."""
        found = self._all("routes", routes.parse)
        return [*found, *([] if any(one.name == routes.BUILT_IN for one in found) else [routes.default_route()])]

    def channels(self) -> dict[str, Channel]:
        """Return the channels by name, the built-in ones included."""
        return channels.default_channels() | {one.name: one for one in self._all("channels", channels.parse)}

    def _all(self, kind: str, parse: Callable[[dict[str, object]], T]) -> list[T]:
        now_ms = self._now_ms()
        cached = self._cached.get(kind)
        if cached is None or not 0 <= now_ms - cached[0] < self._cache_ms:
            self._cached[kind] = cached = (now_ms, self._read(kind, parse))
        return list(cached[1])  # type: ignore[arg-type]

    def _read(self, kind: str, parse: Callable[[dict[str, object]], T]) -> list[T]:
        found = []
        for document in Documents(self._table, kind, self._now_ms).all():
            try:
                found.append(parse(document.body | {"name": document.name}))
            except RequestError as error:
                _LOG.error("%s %s is not valid: %s", kind, document.name, error)
                self._metrics.count("invalid_documents")
        return found
