"""Answers of the API as API Gateway's payload 2.0 takes them: JSON with ETag, 304, and gzip."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud_functions.rest.problems import CONTENT_TYPE, MethodError, problem

JSON = "application/json"
MIN_GZIP_BYTES = 1_024
_GZIP = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?P<q>[01](?:\.\d{0,3})?))?\s*(?:,|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a JSON body, or without one if ``body`` is None.

    ``etag`` is the version of a document; other bodies of GET get one from their bytes.
    """

    status: int
    body: Any
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def failure(error: Exception) -> Answer:
    """Return the problem details of an error."""
    status, body = problem(error)
    headers = {"content-type": CONTENT_TYPE}
    if isinstance(error, MethodError):
        headers["allow"] = ", ".join(error.allowed)
    if status == 503:
        headers["retry-after"] = "1"
    return Answer(status, body, headers=headers)


def render(answer: Answer, method: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the response to a request with ``headers`` (lower-case names)."""
    sent = {"cache-control": "private, no-cache" if method == "GET" else "no-store", "vary": "accept-encoding"}
    sent |= {"x-content-type-options": "nosniff"} | dict(answer.headers)
    if answer.body is None:
        return {"statusCode": answer.status, "headers": sent, "body": "", "isBase64Encoded": False}
    content = json.dumps(answer.body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    sent.setdefault("content-type", JSON)
    etag = f'"{answer.etag}"' if answer.etag is not None else None
    if etag is None and method == "GET" and answer.status == 200:
        # Weak: the compressed answer has other bytes with the same tag.
        etag = f'W/"{hashlib.sha256(content).hexdigest()[:24]}"'
    if etag is not None:
        sent["etag"] = etag
        if method == "GET" and _matches(headers.get("if-none-match", ""), etag):
            del sent["content-type"]
            return {"statusCode": 304, "headers": sent, "body": "", "isBase64Encoded": False}
    strong = etag is not None and not etag.startswith("W/")
    if len(content) >= MIN_GZIP_BYTES and not strong and accepts_gzip(headers.get("accept-encoding", "")):
        sent["content-encoding"] = "gzip"
        packed = base64.b64encode(gzip.compress(content, 5, mtime=0)).decode()
        return {"statusCode": answer.status, "headers": sent, "body": packed, "isBase64Encoded": True}
    return {"statusCode": answer.status, "headers": sent, "body": content.decode(), "isBase64Encoded": False}


def accepts_gzip(accepted: str) -> bool:
    """Return True if an Accept-Encoding header permits gzip."""
    found = _GZIP.search(accepted)
    return found is not None and float(found["q"] or 1) > 0


def _matches(condition: str, etag: str) -> bool:
    """Return True if a condition of If-None-Match names the tag, compared weakly."""
    if condition.strip() == "*":
        return True
    tags = re.findall(r'(?:W/)?("[^"]*")', condition)
    return etag.removeprefix("W/") in tags
