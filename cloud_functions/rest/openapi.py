"""OpenAPI 3.1 description of routes; schemas with a title become components. Not part of a function's package."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from cloud_functions.rest.problems import CONTENT_TYPE
from cloud_functions.rest.roles import Role
from cloud_functions.rest.routes import Route
from cloud_functions.rest.schema import TEXT, WHOLE, array, named, record

PROBLEM = named(
    "Problem",
    record({"type": TEXT, "title": TEXT, "status": WHOLE, "detail": TEXT, "problems": array(TEXT)}),
)
_NAMES = {
    "gateway": {"type": "string", "pattern": "^[A-Za-z0-9_:-]{1,128}$"},
    "alert": {"type": "string", "pattern": "^[0-9a-f]{1,2000}$"},
    "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
}
"""Schemas of the named parts of paths."""
_COMMON = (400, 403, 503)
_BY_API_GATEWAY = {
    "401": {
        "description": "The token or the signature is missing or invalid (by API Gateway, without problem details)"
    },
    "429": {"description": "Too many requests (by API Gateway, without problem details)"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETag of an earlier answer: 304 if it is unchanged",
    "schema": dict(TEXT),
}
_CONDITIONS = [
    {
        "name": "If-Match",
        "in": "header",
        "description": "ETag of the document: 412 if it has another version",
        "schema": {"type": "string", "pattern": '^"[0-9]{1,15}"$'},
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "* to create a document only: 412 if it exists",
        "schema": {"type": "string", "const": "*"},
    },
]


def describe(routes: Iterable[Route], title: str, version: str) -> dict[str, Any]:
    """Return the description; its paths are in the order of the routes."""
    components: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"iam": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "iam": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                },
            },
        },
    }


def text(description: dict[str, Any]) -> str:
    """Return the description as the file that is shipped."""
    return json.dumps(description, indent=1, ensure_ascii=False) + "\n"


def _operation(route: Route, components: dict[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": _NAMES[part[1:-1]]}
        for part in route.segments
        if part.startswith("{")
    ]
    for one in route.parameters:
        found = {"name": one.name, "in": "query", "description": one.description, "required": one.required}
        parameters.append(found | {"schema": _hoisted(one.schema, components)})
    parameters += _CONDITIONS if route.conditional else [_IF_NONE_MATCH] if route.method == "GET" else []
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": _role_sentence(route.role),
        "tags": [route.segments[1]],
    }
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        content = {kind: {"schema": _hoisted(schema, components)} for kind, schema in route.body.items()}
        operation["requestBody"] = {"required": True, "content": content}
    answer: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.status != 204:
        answer["content"] = {"application/json": {"schema": _hoisted(route.answer, components)}}
    responses: dict[str, Any] = {str(route.status): answer}
    if route.method == "GET":
        responses["304"] = {"description": "The answer is unchanged"}
    problem = {"content": {CONTENT_TYPE: {"schema": _hoisted(PROBLEM, components)}}}
    for status in sorted({*_COMMON, *route.statuses}):
        responses[str(status)] = {"description": HTTPStatus(status).phrase} | problem
    operation["responses"] = dict(sorted((responses | _BY_API_GATEWAY).items()))
    return operation


def _operation_id(route: Route) -> str:
    names = [part[1:-1] if part.startswith("{") else part for part in route.segments[1:]]
    return "_".join([route.method.lower(), *names]).replace("-", "_").replace(".json", "")


def _role_sentence(role: Role) -> str:
    above = ", ".join(other.label for other in Role if other > role)
    return f"Role: {role.label}{f' (or {above})' if above else ''}"


def _hoisted(schema: Any, components: dict[str, Any]) -> Any:
    """Return a schema in which every one with a title is a reference to a component."""
    if isinstance(schema, list):
        return [_hoisted(one, components) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _hoisted(value, components) for key, value in schema.items()}
    title = schema.get("title")
    if not isinstance(title, str):
        return found
    if components.setdefault(title, found) != found:
        raise ValueError(f"two schemas have the title {title}")
    return {"$ref": f"#/components/schemas/{title}"}
