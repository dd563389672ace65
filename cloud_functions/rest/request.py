"""A request of API Gateway's payload format 2.0, checked to be text that UTF-8 can encode."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from cloud_functions.core.errors import RequestError
from cloud_functions.rest.problems import MediaTypeError
from cloud_functions.rest.roles import Caller, RoleRules

MAX_PARAMETERS = 50


@dataclass(frozen=True, slots=True)
class Request:
    """A request. ``segments`` are the decoded parts of the path, ``names`` those that the route names.

    ``headers`` have lower-case names. ``query`` has each parameter once.
    """

    method: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    caller: Caller
    names: Mapping[str, str]

    @property
    def content_type(self) -> str:
        """The media type of the body without parameters, in lower case."""
        return self.headers.get("content-type", "").split(";", 1)[0].strip().lower()

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty body is an empty object.

        Raises RequestError for another body, and MediaTypeError for a content type that is not JSON.
        """
        if self.content_type not in ("", "application/json", "text/plain"):
            raise MediaTypeError([f"content-type: {self.content_type[:80]!r}: application/json"])
        value = read_json(self.body) if self.body.strip() else {}
        if not isinstance(value, dict):
            raise RequestError([f"body: a JSON object, not {type(value).__name__}"])
        return value


def read_request(event: Mapping[str, Any], rules: RoleRules) -> Request:
    """Return the request of an event; raises RequestError for a path, query or body that is not UTF-8."""
    context = event.get("requestContext") or {}
    http = context.get("http") or {}
    path = str(event.get("rawPath") or http.get("path") or "/")
    stage = str(context.get("stage") or "")
    if stage and stage != "$default":
        path = path.removeprefix(f"/{stage}")
    headers = {str(name).lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    return Request(
        method=str(http.get("method") or "GET").upper(),
        segments=_segments(path),
        query=_query(event),
        headers=headers,
        body=_body(event),
        caller=rules.caller(context),
        names={},
    )


def read_json(data: bytes) -> Any:
    """Return the value of a JSON text; raises RequestError for numbers and texts that JSON or UTF-8 do not have."""
    try:
        text = data.decode()
        value = json.loads(text, parse_constant=_no_constant, parse_int=_small_int)
        if "\\u" in text:
            # A lone surrogate can be written as an escape, and neither be stored nor answered.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError([f"body: not JSON in UTF-8: {type(error).__name__}: {str(error)[:200]}"]) from error
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _small_int(text: str) -> int | float:
    # Python raises another exception for numbers with thousands of digits, which are not needed here.
    return int(text) if len(text) <= 20 else float(text)


def _segments(path: str) -> tuple[str, ...]:
    try:
        parts = tuple(unquote(part, errors="strict") for part in path.split("/")[1:])
        "".join(parts).encode()
    except ValueError as error:
        raise RequestError([f"path: {path[:80]!r}: not UTF-8"]) from error
    return parts


def _query(event: Mapping[str, Any]) -> dict[str, str]:
    raw = event.get("rawQueryString")
    try:
        if raw:
            pairs = parse_qsl(str(raw), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
        else:
            pairs = [(str(k), str(v)) for k, v in (event.get("queryStringParameters") or {}).items()]
        "".join(name + value for name, value in pairs).encode()
    except ValueError as error:
        raise RequestError([f"query: {str(raw)[:80]!r}: at most {MAX_PARAMETERS} parameters in UTF-8"]) from error
    query = dict(pairs)
    if len(query) != len(pairs):
        twice = next(name for at, (name, _) in enumerate(pairs) if name in dict(pairs[:at]))
        raise RequestError([f"{twice[:80]}: it is given more than once"])
    return query


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    try:
        return base64.b64decode(body) if event.get("isBase64Encoded") else str(body).encode()
    except (binascii.Error, ValueError) as error:
        raise RequestError(["body: not readable"]) from error
