"""HTTP requests of the client: one signed with IAM credentials or sent with a token, over the standard library."""

from __future__ import annotations

import gzip
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from strandline.errors import ApiError

TIMEOUT_S = 35.0
"""A little more than API Gateway waits for a function."""


class Response(NamedTuple):
    """Response with lower-case names of headers, its body decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Request(NamedTuple):
    """Request; ``url`` is complete."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


Send = Callable[[Request], Response]
"""Sends a request; raises ApiError when there is no response."""


def send(request: Request) -> Response:
    """Send a request; loopback addresses bypass proxies."""
    if not request.url.startswith(("http://", "https://")):
        raise ApiError(f"{request.url[:200]}: the address of the API begins with https:// or http://", 0)
    handlers = [urllib.request.ProxyHandler({})] if "://127.0.0.1" in request.url else []
    opener = urllib.request.build_opener(*handlers, _NoRedirect())
    sent = urllib.request.Request(request.url, request.body, dict(request.headers), method=request.method)  # noqa: S310
    try:
        with opener.open(sent, timeout=TIMEOUT_S) as answer:
            return _response(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return _response(error.code, error.headers, error.read())
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ApiError(f"{request.url.split('?')[0]}: {reason}", 0) from error


def with_token(token: str, inner: Send = send) -> Send:
    """Return a sender that adds a bearer token."""

    def sending(request: Request) -> Response:
        return inner(request._replace(headers={**request.headers, "authorization": f"Bearer {token}"}))

    return sending


def signed(credentials: Any, region: str, inner: Send = send) -> Send:
    """Return a sender that signs with IAM credentials (Signature Version 4) of botocore."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    def sending(request: Request) -> Response:
        # The signature covers these headers only: what a proxy changes must not be among them.
        covered = {name: value for name, value in request.headers.items() if name in ("content-type",)}
        to_sign = AWSRequest(request.method, request.url, covered, request.body)
        SigV4Auth(credentials, "execute-api", region).add_auth(to_sign)
        return inner(request._replace(headers={**request.headers, **dict(to_sign.headers)}))

    return sending


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect."""


def _response(status: int, headers: Any, body: bytes) -> Response:
    names = {name.lower(): value for name, value in headers.items()}
    if names.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return Response(status, names, body)
