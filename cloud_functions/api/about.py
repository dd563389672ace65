"""Routes about the API itself: the caller's role, and the description in OpenAPI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cloud_functions.api.services import Services
from cloud_functions.rest.request import Request
from cloud_functions.rest.roles import LABELS, Role
from cloud_functions.rest.routes import Route
from cloud_functions.rest.schema import TEXT, one_of, record

DESCRIPTION = Path(__file__).with_name("openapi.json")
"""Generated from the routes by ``python -m cloud_functions.api.describe``; a test holds it equal to them."""


def show_me(request: Request, services: Services) -> dict[str, Any]:
    """Return the caller's name and role."""
    role = request.caller.role
    return {"user": request.caller.user, "role": None if role is None else role.label}


def show_description(request: Request, services: Services) -> dict[str, Any]:
    """Return the OpenAPI description."""
    description: dict[str, Any] = json.loads(DESCRIPTION.read_bytes())
    return description


ROUTES = (
    Route("GET", "/v1/me", Role.VIEWER, show_me, "Show the caller", record({"user": TEXT, "role": one_of(*LABELS)})),
    Route("GET", "/v1/openapi.json", Role.VIEWER, show_description, "Show this description", {"type": "object"}),
)
