"""Requests with a token of the app's own identity."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from azure.core.exceptions import AzureError

_TIMEOUT_S = 5.0
_MAX_ANSWER = 65_536

GetToken = Callable[[str], str]
"""Returns a token for a scope; the credential caches it. Raises AzureError."""


class IdentitySender:
    """Sends requests; a new connection for each, because deliveries are rare."""

    def __init__(self, token: GetToken) -> None:
        self._token = token

    def __call__(self, scope: str, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer; raises OSError."""
        try:
            authorization = f"Bearer {self._token(scope)}"
        except AzureError as error:
            raise OSError(f"no token for {scope}: {type(error).__name__}: {error}") from error
        whole = {"Authorization": authorization, "User-Agent": "strandline", **headers}
        request = urllib.request.Request(url, data=body or None, headers=whole, method=method)  # noqa: S310 - settings
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
                return int(answer.status), answer.read(_MAX_ANSWER)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(_MAX_ANSWER)


def of_app() -> IdentitySender:
    """Return the sender with the identity of the function app."""
    from azure.identity import DefaultAzureCredential

    credential = DefaultAzureCredential()
    return IdentitySender(lambda scope: credential.get_token(scope).token)
