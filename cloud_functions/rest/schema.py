"""Short forms of JSON Schema for the table of routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
ANY: Schema = {}
MS: Schema = {"type": "integer", "minimum": 0, "maximum": 9_999_999_999_999, "description": "Milliseconds UTC"}


def one_of(*texts: str) -> Schema:
    """Return the schema of one of several texts."""
    return {"type": "string", "enum": list(texts)}


def or_null(schema: Schema) -> Schema:
    """Return the schema of a value or null."""
    return {"anyOf": [dict(schema), {"type": "null"}]}


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": dict(items)}


def mapping(values: Schema) -> Schema:
    """Return the schema of an object whose keys are data."""
    return {"type": "object", "additionalProperties": dict(values)}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object with keys that are always present, and others."""
    properties = {name: dict(schema) for name, schema in {**required, **(optional or {})}.items()}
    found: dict[str, Any] = {"type": "object", "properties": properties}
    return found | ({"required": list(required)} if required else {})


def named(title: str, schema: Schema) -> Schema:
    """Return a schema with a title, under which the description shows it."""
    return {"title": title} | dict(schema)


def page(items: Schema) -> Schema:
    """Return the schema of a page of a list; ``next`` is absent at the end."""
    return record({"items": array(items)}, {"next": TEXT})
