"""Secrets by name, from Secrets Manager (``secretsmanager:NAME``) or the Parameter Store (``ssm:NAME``)."""

from __future__ import annotations

from typing import Any

from cloud_functions.adapters.aws import client, store_errors
from cloud_functions.clock import now_ms
from cloud_functions.core.ports import NowMs

CACHE_MS = 300_000


class Secrets:
    """Reader of secrets, which are cached for five minutes."""

    def __init__(self, manager: Any = None, parameters: Any = None, clock: NowMs = now_ms) -> None:
        self._manager, self._parameters, self._clock = manager, parameters, clock
        self._cached: dict[str, tuple[int, str]] = {}

    def get(self, name: str) -> str:
        """Return the text of a secret; raises StoreError if it cannot be read."""
        known = self._cached.get(name)
        if known is None or not 0 <= self._clock() - known[0] < CACHE_MS:
            known = self._cached[name] = (self._clock(), self._read(name))
        return known[1]

    def _read(self, name: str) -> str:
        kind, _, key = name.partition(":")
        with store_errors(f"read the secret {name}"):
            if kind == "ssm":
                self._parameters = self._parameters or client("ssm")
                answer = self._parameters.get_parameter(Name=key, WithDecryption=True)
                return str(answer["Parameter"]["Value"])
            self._manager = self._manager or client("secretsmanager")
            return str(self._manager.get_secret_value(SecretId=key)["SecretString"])
