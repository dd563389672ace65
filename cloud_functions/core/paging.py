"""Opaque cursors of lists: the position after which the next page begins, bound to the list and its filters."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from cloud_functions.core.errors import RequestError

MAX_CURSOR = 4_096
"""Longest cursor in characters: a position has the keys of two items at most."""


def encode(scope: str, *position: str | int) -> str:
    """Return the cursor of a position in the list ``scope``; it contains only A-Z a-z 0-9 _ and -."""
    content = json.dumps([zlib.crc32(scope.encode()), *position], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode(cursor: str, scope: str, *types: type) -> list[Any]:
    """Return the position of a cursor, one value of each type; raises RequestError for one of another list."""
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError("too long")
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        content = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(content, list) or [type(value) for value in content] != [int, *types]:
            raise ValueError("another structure")
        if content[0] != zlib.crc32(scope.encode()):
            raise ValueError("another list")
        for value in content:
            str(value).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError(
            [f"cursor: {cursor[:80]!r}: the value of next of a page that was requested with the same parameters"]
        ) from error
    return content[1:]


def scope_of(list_name: str, query: Mapping[str, str]) -> str:
    """Return the scope of a list with the filters of a query: all parameters but ``limit`` and ``cursor``."""
    filters = sorted((name, value) for name, value in query.items() if name not in ("limit", "cursor"))
    return json.dumps([list_name, filters])
