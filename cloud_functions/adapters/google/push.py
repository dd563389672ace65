"""Push requests of Pub/Sub: verification of their token, and their message in the form that the core reads.

A message has the bytes of a batch as its data, and the MQTT topic on which the gateway published it as the attribute
``topic``. The broker guarantees that the topic names the publisher; nothing else in the request does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.auth import jwt
from google.auth.exceptions import GoogleAuthError

from cloud_functions.core.errors import CloudError

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"
FETCH_AGAIN_MS = 60_000
"""Minimum time between two fetches of Google's certificates."""

Certificates = Mapping[str, str]
"""PEM certificates by key id."""


class UnauthorizedPushError(CloudError):
    """The request does not come from the subscription."""


class InvalidPushError(CloudError):
    """The request has not the form of a push request."""


class PushVerifier:
    """Verification of the OpenID Connect token that Pub/Sub signs for the service account of a subscription."""

    def __init__(
        self, fetch: Callable[[], Certificates], audience: str, service_account: str, now_ms: Callable[[], int]
    ) -> None:
        self._fetch, self._audience, self._service_account = fetch, audience, service_account
        self._now_ms = now_ms
        self._certificates: Certificates = {}
        self._fetched_ms: int | None = None

    def verify(self, authorization: str) -> None:
        """Check the header ``Authorization``; raises UnauthorizedPushError, and OSError if Google is not reachable."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise UnauthorizedPushError("the request has no bearer token")
        try:
            key_id = str(jwt.decode_header(token).get("kid"))
            claims = jwt.decode(token, certs=self._certificates_with(key_id), audience=self._audience)
        except (GoogleAuthError, ValueError) as error:
            raise UnauthorizedPushError(f"the token is not valid: {str(error)[:200]}") from error
        if claims.get("iss") not in ISSUERS:
            raise UnauthorizedPushError(f"the token is of the issuer {str(claims.get('iss'))[:100]!r}")
        if claims.get("email") != self._service_account or claims.get("email_verified") is not True:
            raise UnauthorizedPushError(f"the token is of the account {str(claims.get('email'))[:100]!r}")

    def _certificates_with(self, key_id: str) -> Certificates:
        """Return the certificates, fetched if the key is unknown, but not for each request with an invented key."""
        now_ms = self._now_ms()
        due = self._fetched_ms is None or now_ms - self._fetched_ms >= FETCH_AGAIN_MS
        if key_id not in self._certificates and due:
            self._certificates, self._fetched_ms = self._fetch(), now_ms
        return self._certificates


@dataclass(frozen=True, slots=True)
class PushedMessage:
    """Message of a push request; ``attempt`` is counted from 1."""

    id: str
    body: str
    attempt: int


def read_batch(content: bytes, now_ms: int) -> PushedMessage:
    """Return the message of a request as the envelope that the core reads; raises InvalidPushError.

    A message that does not contain a batch is returned, too: the core keeps it as a dead letter. See
    cloud_functions.core.arrival for the envelope.
    """
    message, attempt = _message_of(content)
    try:
        data, attributes = str(message.get("data", "")), dict(message.get("attributes") or {})
        published = message.get("publishTime")
        received_ms = now_ms if published is None else _milliseconds(str(published))
    except (ValueError, TypeError) as error:
        raise _invalid(error) from error
    fields = {"data": data, "topic": attributes.get("topic", ""), "client": "", "principal": ""}
    return PushedMessage(str(message["messageId"]), json.dumps({**fields, "received_at": received_ms}), attempt)


def read_text(content: bytes) -> PushedMessage:
    """Return the message of a request, whose data is a text; raises InvalidPushError."""
    message, attempt = _message_of(content)
    try:
        text = base64.b64decode(str(message.get("data", "")), validate=True).decode()
    except ValueError as error:
        raise _invalid(error) from error
    return PushedMessage(str(message["messageId"]), text, attempt)


def _message_of(content: bytes) -> tuple[Mapping[str, Any], int]:
    """Return the message of a push request, and the number of the attempt to deliver it."""
    try:
        request: Any = json.loads(content)
        message = dict(request["message"])
        message["messageId"]
        return message, int(request.get("deliveryAttempt", 1))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _invalid(error) from error


def _invalid(error: Exception) -> InvalidPushError:
    return InvalidPushError(f"not a push request of Pub/Sub: {type(error).__name__}: {str(error)[:200]}")


def _milliseconds(text: str) -> int:
    """Return a time of RFC 3339, which may have nanoseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
