"""Description of API v1 in OpenAPI: ``python -m cloud_functions.api.describe`` writes openapi.json beside this file."""

from __future__ import annotations

from typing import Any

from cloud_functions.api.about import DESCRIPTION
from cloud_functions.api.table import ROUTES
from cloud_functions.forecast.routes import ROUTES as FORECAST_ROUTES
from cloud_functions.rest.openapi import describe, text

TITLE, VERSION = "Strandline", "1.0.0"


def description() -> dict[str, Any]:
    """Return the description of all routes."""
    return describe(sorted((*ROUTES, *FORECAST_ROUTES), key=lambda route: route.path), TITLE, VERSION)


if __name__ == "__main__":
    DESCRIPTION.write_text(text(description()))
