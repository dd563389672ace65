"""Further invocations of a function, at once and without an answer."""

from __future__ import annotations

import json
from typing import Any

from cloud_functions.adapters.aws import lazy_client, store_errors


class Workers:
    """Starts invocations of the function ``arn`` with an event that has the key ``worker``."""

    def __init__(self, functions: Any = None) -> None:
        self._client = functions if functions is not None else lazy_client("lambda")

    def start(self, arn: str, count: int) -> None:
        """Start ``count`` invocations; raises StoreError unless all are accepted."""
        for number in range(1, count + 1):
            with store_errors("start a worker"):
                self._client.invoke(
                    FunctionName=arn, InvocationType="Event", Payload=json.dumps({"worker": number}).encode()
                )
