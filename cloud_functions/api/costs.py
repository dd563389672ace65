"""Route of the account's costs."""

from __future__ import annotations

from typing import Any

from cloud_functions.api.services import Services
from cloud_functions.rest.request import Request
from cloud_functions.rest.roles import Role
from cloud_functions.rest.routes import Route
from cloud_functions.rest.schema import MS, NUMBER, WHOLE, mapping, named, one_of, or_null, record


def show_costs(request: Request, services: Services) -> dict[str, Any]:
    """Return an estimate of the charges of a month at the present rate."""
    from cloud_functions.costs.account import estimate
    from cloud_functions.costs.fleet_cost import Measured

    now_ms = services.now_ms()
    return estimate(services.telemetry, services.alerts, now_ms, Measured.stored(), services.raw_ms, services.report_ms)


COSTS = named(
    "Costs",
    record(
        {
            "currency": one_of("USD"),
            "gateways": WHOLE,
            "gateways_read": WHOLE,
            "gateways_active": WHOLE,
            "since_ms": or_null(MS),
            "month": record(dict.fromkeys(("batches", "notices", "rows", "bytes", "posts", "alerts"), WHOLE)),
            "items": mapping(NUMBER),
            "total": NUMBER,
            "greengrass": NUMBER,
        }
    ),
)

ROUTES = (Route("GET", "/v1/costs", Role.VIEWER, show_costs, "Estimate the charges of a month", COSTS),)
"""The route of this module."""
