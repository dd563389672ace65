"""Routes of alerts."""

from __future__ import annotations

from typing import Any

from cloud_functions.api import schemas
from cloud_functions.api.gateways import listed
from cloud_functions.api.services import Services
from cloud_functions.core import alert_queries, gateways
from cloud_functions.core.errors import RequestError
from cloud_functions.rest.request import Request
from cloud_functions.rest.roles import Role
from cloud_functions.rest.routes import Parameter, Route
from cloud_functions.rest.schema import TEXT, one_of, page, record

MAX_COMMENT = 1_000


def list_alerts(request: Request, services: Services) -> dict[str, Any]:
    """Return alerts, newest onset first; each shows whether its gateway is silent."""
    items, following = alert_queries.page(services.alerts, request.query)
    return listed(gateways.mark(services.telemetry, items, services.silence), following)


def show_alert(request: Request, services: Services) -> dict[str, Any]:
    """Return one alert."""
    alert = services.book.find(request.names["alert"])
    return gateways.mark(services.telemetry, [alert.to_dict()], services.silence)[0]


def list_history(request: Request, services: Services) -> dict[str, Any]:
    """Return the events of an alert, oldest first."""
    return listed(services.book.find(request.names["alert"]).events())


def acknowledge(request: Request, services: Services) -> dict[str, Any]:
    """Acknowledge an alert as the caller."""
    body = request.json_object()
    problems = [f"{name[:80]}: no such key; there is comment" for name in body if name != "comment"]
    comment = body.get("comment", "")
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
        problems.append(f"comment: {comment!r:.80}: a text of at most {MAX_COMMENT} characters")
    if problems:
        raise RequestError(problems)
    alert = services.book.acknowledge(request.names["alert"], request.caller.user, comment)
    return gateways.mark(services.telemetry, [alert.to_dict()], services.silence)[0]


_STATE = Parameter(
    "state",
    "State; open: firing or acknowledged",
    one_of("open", "all", "pending", "firing", "acknowledged", "resolved"),
)
_GATEWAY = Parameter("gateway", "Name of a gateway", TEXT)
_SEVERITY = Parameter("severity", "Severity", schemas.SEVERITY)
_FILTER = (_STATE, _GATEWAY, schemas.SERIES_GLOB, _SEVERITY, schemas.FROM, schemas.TO, schemas.LIMIT, schemas.CURSOR)
_A = "/v1/alerts/{alert}"

ROUTES = (
    Route("GET", "/v1/alerts", Role.VIEWER, list_alerts, "List alerts", page(schemas.ALERT), parameters=_FILTER),
    Route("GET", _A, Role.VIEWER, show_alert, "Show an alert", schemas.ALERT, statuses=(404,)),
    Route(
        "GET",
        f"{_A}/history",
        Role.VIEWER,
        list_history,
        "List the events of an alert",
        page(schemas.EVENT),
        statuses=(404,),
    ),
    Route(
        "POST",
        f"{_A}/acknowledge",
        Role.OPERATOR,
        acknowledge,
        "Acknowledge an alert",
        schemas.ALERT,
        body={"application/json": record({}, {"comment": TEXT})},
        statuses=(404, 415),
    ),
)
