"""Verification of OpenID Connect tokens: those of Pub/Sub and of the scheduler, and those of people."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from google.auth import jwt
from google.auth.exceptions import GoogleAuthError

from cloud_functions.core.errors import CloudError

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"
PEOPLE_CERTIFICATES_URL = "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
"""Certificates of Identity Platform."""
FETCH_AGAIN_MS = 60_000
"""Minimum time between two fetches of Google's certificates."""

Certificates = Mapping[str, str]
"""PEM certificates by key id."""


class UnauthorizedError(CloudError):
    """The request has no valid token."""


class TokenVerifier:
    """Verification of OpenID Connect tokens for an audience, from one of ``issuers``."""

    def __init__(
        self,
        fetch: Callable[[], Certificates],
        audience: str,
        issuers: Collection[str],
        now_ms: Callable[[], int],
    ) -> None:
        self._fetch, self._audience, self._issuers = fetch, audience, issuers
        self._now_ms = now_ms
        self._certificates: Certificates = {}
        self._fetched_ms: int | None = None

    def claims(self, authorization: str) -> dict[str, Any]:
        """Return the claims of the header ``Authorization``.

        Raises UnauthorizedError, and OSError if the certificates of the issuer cannot be fetched.
        """
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise UnauthorizedError("the request has no bearer token")
        try:
            key_id = str(jwt.decode_header(token).get("kid"))
            claims: dict[str, Any] = jwt.decode(token, certs=self._certificates_with(key_id), audience=self._audience)
        except (GoogleAuthError, ValueError) as error:
            raise UnauthorizedError(f"the token is not valid: {str(error)[:200]}") from error
        if claims.get("iss") not in self._issuers:
            raise UnauthorizedError(f"the token is of the issuer {str(claims.get('iss'))[:100]!r}")
        return claims

    def _certificates_with(self, key_id: str) -> Certificates:
        """Return the certificates, fetched if the key is unknown, but not for each request with an invented key."""
        now_ms = self._now_ms()
        due = self._fetched_ms is None or now_ms - self._fetched_ms >= FETCH_AGAIN_MS
        if key_id not in self._certificates and due:
            self._certificates, self._fetched_ms = self._fetch(), now_ms
        return self._certificates


class PushVerifier:
    """Verification of the token that Pub/Sub and the scheduler sign for the service account that calls functions."""

    def __init__(
        self, fetch: Callable[[], Certificates], audience: str, service_account: str, now_ms: Callable[[], int]
    ) -> None:
        self._tokens, self._service_account = TokenVerifier(fetch, audience, ISSUERS, now_ms), service_account

    def verify(self, authorization: str) -> None:
        """Check the header ``Authorization``; raises UnauthorizedError, and OSError if Google is not reachable."""
        claims = self._tokens.claims(authorization)
        if claims.get("email") != self._service_account or claims.get("email_verified") is not True:
            raise UnauthorizedError(f"the token is of the account {str(claims.get('email'))[:100]!r}")
