"""Handler of the API on Google Cloud: the token of the caller is verified here, and its claims give the role."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping

from cloud_functions.adapters.google.tokens import TokenVerifier, UnauthorizedError
from cloud_functions.adapters.rest import HttpAnswer, HttpRequest, Rest
from cloud_functions.core.metrics import Metrics

UNAUTHORIZED, AGAIN = 401, 503


class ApiHandler:
    """The API; requests are answered one after the other."""

    def __init__(self, rest: Rest, tokens: TokenVerifier, metrics: Metrics, log: logging.Logger) -> None:
        self._rest, self._tokens, self._log, self.metrics = rest, tokens, log, metrics
        self._lock = threading.Lock()

    def respond(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Answer a request; ``query`` is the text after the question mark."""
        with self._lock:
            try:
                claims = self._tokens.claims(headers.get("Authorization", ""))
            except UnauthorizedError as error:
                self._log.warning("request rejected: %s", error)
                self.metrics.count("unauthorized")
                return _problem(UNAUTHORIZED, "a valid bearer token is required", {"www-authenticate": "Bearer"})
            except OSError as error:
                self._log.warning("the certificates of the issuer are not available: %s", error)
                return _problem(AGAIN, "try again", {"retry-after": "1"})
            return self._rest.respond(HttpRequest(method, path, query, headers, body, claims))


def _problem(status: int, detail: str, headers: Mapping[str, str]) -> HttpAnswer:
    body = json.dumps({"type": "about:blank", "status": status, "detail": detail}).encode()
    return HttpAnswer(status, {"content-type": "application/problem+json", **headers}, body)
