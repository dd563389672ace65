"""Problem details (RFC 9457) of every error: the HTTP status by class of error, in one table."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from cloud_functions.core.errors import (
    DifferentError,
    NotFoundError,
    PreconditionError,
    RequestError,
    StoreError,
)

CONTENT_TYPE = "application/problem+json"
MAX_PROBLEMS, MAX_SENTENCE = 50, 500


class ForbiddenError(RequestError):
    """The caller's role does not include the request."""


class MethodError(RequestError):
    """The path exists, with other methods."""

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__([f"method: {method[:20]}: one of {', '.join(allowed)}"])
        self.allowed = allowed


class MediaTypeError(RequestError):
    """The body has a content type that the route does not read."""


STATUSES: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (MethodError, HTTPStatus.METHOD_NOT_ALLOWED),
    (MediaTypeError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (DifferentError, HTTPStatus.CONFLICT),
    (PreconditionError, HTTPStatus.PRECONDITION_FAILED),
    (RequestError, HTTPStatus.BAD_REQUEST),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""HTTP status of each class of error; the first that matches counts, 500 for all others."""

_TITLES = {
    HTTPStatus.BAD_REQUEST: "The request is invalid",
    HTTPStatus.FORBIDDEN: "The role of the caller does not include this request",
    HTTPStatus.NOT_FOUND: "It does not exist",
    HTTPStatus.METHOD_NOT_ALLOWED: "The path has other methods",
    HTTPStatus.CONFLICT: "The id was used before with other content",
    HTTPStatus.PRECONDITION_FAILED: "The version is another one",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The content type is not read here",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store is not available",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The function failed",
}


def status_of(error: Exception) -> HTTPStatus:
    """Return the HTTP status of an error."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(error: Exception) -> tuple[HTTPStatus, dict[str, Any]]:
    """Return the status of an error and its problem details; those of a server error have nothing of its text."""
    status = status_of(error)
    sentences = [_clean(one) for one in error.problems[:MAX_PROBLEMS]] if isinstance(error, RequestError) else []
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        sentences = ["the store is not available; the request can be repeated"]
    elif status is HTTPStatus.INTERNAL_SERVER_ERROR:
        sentences = ["the function failed; its log has the error under the request's id"]
    return status, {
        "type": f"urn:strandline:problem:{status.name.lower().replace('_', '-')}",
        "title": _TITLES[status],
        "status": int(status),
        "detail": "; ".join(sentences)[:2_000],
        "problems": sentences,
    }


def _clean(sentence: str) -> str:
    return sentence.encode("utf-8", "replace").decode()[:MAX_SENTENCE]
