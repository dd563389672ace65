"""Requests of the page and answers of the fake API, held to the routes of API v1."""

from __future__ import annotations

import importlib
import json
from typing import Any

from cloud_functions.api import table
from cloud_functions.core.errors import CloudError
from cloud_functions.forecast import routes
from cloud_functions.rest.request import Request
from cloud_functions.rest.roles import Caller
from cloud_functions.rest.routes import Route, Router

MAX_ITEMS = 30
_router = Router((*table.ROUTES, *routes.ROUTES))
_validators: dict[int, Any] = {}


def find(method: str, path: list[str], query: dict[str, str]) -> Route:
    """Return the route of a request; raises AssertionError for a path or parameter that the API does not have."""
    request = Request(method, ("v1", *path), query, {}, b"", Caller("test", None), {})
    try:
        return _router.find(request)[0]
    except CloudError as error:
        raise AssertionError(f"{method} /v1/{'/'.join(path)} {query}: {error}") from error


def check(schema: Any, value: Any, what: str) -> None:
    """Raise AssertionError if a value does not match a schema."""
    jsonschema = importlib.import_module("jsonschema")
    validator = _validators.setdefault(id(schema), jsonschema.Draft202012Validator(schema))
    problems = [
        f"{'/'.join(map(str, one.path))}: {one.message[:200]}" for one in validator.iter_errors(_shortened(value))
    ]
    assert not problems, f"{what}: {problems[:3]} in {json.dumps(value)[:300]}"


def _shortened(value: Any) -> Any:
    """Return a value with the first items of each list, since thousands of rows take seconds to check."""
    if isinstance(value, dict):
        return {name: _shortened(one) for name, one in value.items()}
    return [_shortened(one) for one in value[:MAX_ITEMS]] if isinstance(value, list) else value
