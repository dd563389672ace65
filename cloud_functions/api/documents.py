"""Routes of the documents that configure alerts: rules, silences, notification routes and channels; and the dry run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from cloud_functions.api import schemas
from cloud_functions.api.gateways import listed
from cloud_functions.api.services import Services
from cloud_functions.core import channels, documents, parameters, routes, rules, silences
from cloud_functions.core.documents import Document, check_name
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.rest.answers import Answer
from cloud_functions.rest.request import Request
from cloud_functions.rest.roles import Role
from cloud_functions.rest.routes import Route
from cloud_functions.rest.schema import MS, NUMBER, TEXT, WHOLE, array, named, or_null, page, record

DAY_MS = 86_400_000
DRY_RUN_MS = 7 * DAY_MS
_ETAG = re.compile(r'"(\d{1,15})"\Z')


class Parsed(Protocol):
    """A parsed document."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""


Parse = Callable[[Mapping[str, Any]], Parsed]


class DocumentRoutes:
    """Handlers of the documents of a kind."""

    def __init__(self, kind: str, parse: Parse) -> None:
        self._kind, self._parse = kind, parse

    def list(self, request: Request, services: Services) -> dict[str, Any]:
        """Return the documents in the order of their names, a page at a time."""
        problems: list[str] = []
        most, default = documents.MAX_LISTED, documents.DEFAULT_LISTED
        limit = parameters.count(request.query, "limit", default, most, problems)
        if problems:
            raise RequestError(problems)
        found, following = services.documents(self._kind).list(limit, request.query.get("cursor"))
        return listed([one.to_dict() for one in found], following)

    def show(self, request: Request, services: Services) -> Answer:
        """Return one document; its ETag is its version."""
        name = request.names["name"]
        found = services.documents(self._kind).get(name)
        if found is None:
            raise NotFoundError([f"{self._kind} {name!r}: there is no document of this name"])
        return _answer(found)

    def put(self, request: Request, services: Services) -> Answer:
        """Create or replace a document; If-Match names the version that it must have."""
        name, body = check_name(request.names["name"]), request.json_object()
        if body.get("name", name) != name:
            raise RequestError([f"name: {body['name']!r:.80}: the path names {name}"])
        if self._kind == "silences" and not body.get("author"):
            body["author"] = request.caller.user
        parsed = self._parse(body | {"name": name}).to_dict()
        version, create_only = _conditions(request)
        stored = services.documents(self._kind).put(name, parsed, request.caller.user, version, create_only)
        return _answer(stored)

    def delete(self, request: Request, services: Services) -> Answer:
        """Delete a document; If-Match names the version that it must have."""
        version, _ = _conditions(request)
        services.documents(self._kind).delete(request.names["name"], version)
        return Answer(204, None)


def dry_run(request: Request, services: Services) -> dict[str, Any]:
    """Return the alerts that a rule would have fired over stored rows."""
    from cloud_functions.core.dry_run import StoredHistory, dry_run
    from cloud_functions.core.history_reader import HistoryReader

    body = request.json_object()
    problems = [f"{name[:80]}: no such key; there are rule, from, to" for name in body if name not in _DRY_RUN]
    texts = {name: str(body[name]) for name in ("from", "to") if body.get(name) is not None}
    to_ms = parameters.moment(texts, "to", services.now_ms(), problems)
    from_ms = parameters.moment(texts, "from", max(0, to_ms - DRY_RUN_MS), problems)
    given = body.get("rule")
    if not isinstance(given, dict):
        problems.append(f"rule: {type(given).__name__}: an object")
    if problems or not isinstance(given, dict):
        raise RequestError(problems)
    history = StoredHistory(services.telemetry, HistoryReader(services.telemetry, services.profiles.find))
    return dry_run(rules.parse(given), history, from_ms, to_ms)


_DRY_RUN = ("rule", "from", "to")


def _answer(found: Document) -> Answer:
    return Answer(200, found.to_dict(), etag=str(found.version))


def _conditions(request: Request) -> tuple[int | None, bool]:
    """Return the version that a write requires, and True for a write that must create; raises RequestError."""
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    problems = []
    version: int | None = None
    if match is not None and match.strip() != "*":
        found = _ETAG.match(match.strip())
        if found is None:
            problems.append(f'if-match: {match[:80]!r}: the ETag of the document, such as "3"')
        else:
            version = int(found[1])
    if none_match is not None and none_match.strip() != "*":
        problems.append(f"if-none-match: {none_match[:80]!r}: * to create a document only")
    if match is not None and none_match is not None:
        problems.append("if-match, if-none-match: one of them")
    if problems:
        raise RequestError(problems)
    return version, none_match is not None


_STORED = {"name": TEXT, "version": WHOLE, "updated_ms": MS, "updated_by": TEXT}


def _routes(kind: str, one: str, parse: Parse, writer: Role) -> Iterator[Route]:
    handlers = DocumentRoutes(kind, parse)
    path = f"/v1/{kind}/{{name}}"
    answer = named(one.title(), record(_STORED))
    yield Route(
        "GET",
        f"/v1/{kind}",
        Role.VIEWER,
        handlers.list,
        f"List {kind}",
        page(answer),
        parameters=(schemas.LIMIT, schemas.CURSOR),
    )
    yield Route("GET", path, Role.VIEWER, handlers.show, f"Show a {one}", answer, statuses=(404,))
    yield Route(
        "PUT",
        path,
        writer,
        handlers.put,
        f"Create or replace a {one}",
        answer,
        body={"application/json": {"type": "object"}},
        statuses=(412, 415),
        conditional=True,
    )
    yield Route(
        "DELETE",
        path,
        writer,
        handlers.delete,
        f"Delete a {one}",
        {},
        status=204,
        statuses=(404, 412),
        conditional=True,
    )


_FIRING = record({"gateway": TEXT, "series": TEXT, "from_ms": MS, "to_ms": WHOLE, "peak": or_null(NUMBER)})
_DRY_RUN_BODY = record({"rule": {"type": "object"}}, {"from": or_null(MS), "to": or_null(MS)})
_DRY_RUN_ANSWER = record(
    {"series_evaluated": WHOLE, "firings": array(_FIRING), "count": WHOLE}, {"truncated": {"type": "boolean"}}
)

ROUTES = (
    *_routes("rules", "rule", rules.parse, Role.OPERATOR),
    Route(
        "POST",
        "/v1/rules/dry-run",
        Role.OPERATOR,
        dry_run,
        "Evaluate a rule over stored rows",
        _DRY_RUN_ANSWER,
        body={"application/json": _DRY_RUN_BODY},
        statuses=(415,),
    ),
    *_routes("silences", "silence", silences.parse, Role.OPERATOR),
    *_routes("routes", "route", routes.parse, Role.ADMIN),
    *_routes("channels", "channel", channels.parse, Role.ADMIN),
)
