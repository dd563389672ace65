"""Routes with the role, the parameters and the schemas of each: the source of dispatch, roles and OpenAPI."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.rest.answers import Answer
from cloud_functions.rest.problems import MethodError
from cloud_functions.rest.request import Request
from cloud_functions.rest.roles import Role

Schema = Mapping[str, Any]
"""JSON Schema (2020-12)."""
Handler = Callable[[Request, Any], Answer | dict[str, Any]]
"""Answers a request with the services of its function; a dict is an answer with status 200."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter of a route."""

    name: str
    description: str
    schema: Schema
    required: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A route: ``path`` has names in braces, each a segment; ``statuses`` are those of errors beside the common ones.

    ``body`` maps media types to the schemas of the body. ``answer`` is the schema of an answer with ``status``.
    """

    method: str
    path: str
    role: Role
    handle: Handler
    summary: str
    answer: Schema
    status: int = 200
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    statuses: tuple[int, ...] = ()
    conditional: bool = False
    """Reads ``If-Match`` and ``If-None-Match`` as conditions of a write."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of its path."""
        return tuple(self.path.split("/")[1:])


class Router:
    """Routes by method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)

    def find(self, request: Request) -> tuple[Route, dict[str, str]]:
        """Return the route of a request and the named parts of its path.

        Fixed segments count before named ones. Raises NotFoundError for an unknown path, MethodError for another
        method, RequestError for a parameter that the route does not have.
        """
        matches = [
            (names, route) for route in self.routes if (names := _names(route.segments, request.segments)) is not None
        ]
        if not matches:
            raise NotFoundError([f"path: /{'/'.join(request.segments)[:200]}: there is no such path"])
        fewest = min(len(names) for names, _ in matches)
        nearest = [(names, route) for names, route in matches if len(names) == fewest]
        for names, route in nearest:
            if route.method == request.method:
                _check_parameters(route, request.query)
                return route, names
        raise MethodError(request.method, sorted(route.method for _, route in nearest))


def _names(wanted: tuple[str, ...], given: tuple[str, ...]) -> dict[str, str] | None:
    if len(wanted) != len(given):
        return None
    names = {}
    for one, other in zip(wanted, given, strict=True):
        if one.startswith("{") and other:
            names[one[1:-1]] = other
        elif one != other:
            return None
    return names


def _check_parameters(route: Route, query: Mapping[str, str]) -> None:
    known = [parameter.name for parameter in route.parameters]
    problems = [
        f"{name[:80]}: the parameter is not known here; there are {', '.join(known) or 'none'}"
        for name in query
        if name not in known
    ]
    problems += [f"{one.name}: it is missing" for one in route.parameters if one.required and one.name not in query]
    if problems:
        raise RequestError(problems)
