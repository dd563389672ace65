"""The routes of the api function, and those of all functions, from which the description is made."""

from __future__ import annotations

from cloud_functions.api import about, alerts, costs, documents, gateways, telemetry
from cloud_functions.rest.routes import Route

ROUTES: tuple[Route, ...] = (
    *about.ROUTES,
    *gateways.ROUTES,
    *alerts.ROUTES,
    *documents.ROUTES,
    *telemetry.ROUTES,
    *costs.ROUTES,
)
