"""The archive as read by its own function, which has pyarrow: with it the package of the API would be far larger."""

from __future__ import annotations

import base64
import json
from typing import Any

from cloud_functions.adapters.aws import lazy_client, store_errors
from cloud_functions.core.columns import decode_rows
from cloud_functions.core.errors import StoreError
from wire.model import Aggregates


class ArchiveFunction:
    """Implementation of :class:`cloud_functions.core.ports.ArchiveReader` that invokes the function ``name``."""

    def __init__(self, name: str, functions: Any = None) -> None:
        self._name, self._client = name, functions if functions is not None else lazy_client("lambda")

    def raw(self, gateway: str, series: str, from_ms: int, to_ms: int, limit: int) -> tuple[Aggregates, int]:
        """Return unmodified rows, and the time before which they are complete."""
        answer = self._invoke(
            {"gateway": gateway, "series": series, "from_ms": from_ms, "to_ms": to_ms, "limit": limit}
        )
        return _rows(answer), int(answer["until_ms"])

    def rolled_up(self, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return rows of 15 minutes."""
        return _rows(self._invoke({"gateway": gateway, "series": series, "from_ms": from_ms, "to_ms": to_ms}))

    def _invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        with store_errors("read the archive"):
            answer = self._client.invoke(FunctionName=self._name, Payload=json.dumps(request).encode())
            payload = answer["Payload"].read()
        if "FunctionError" in answer:
            raise StoreError(f"the function of the archive failed: {payload[:300]!r}")
        found: dict[str, Any] = json.loads(payload)
        return found


def _rows(answer: dict[str, Any]) -> Aggregates:
    return decode_rows(base64.b64decode(answer["rows"]))
