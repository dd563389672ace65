"""Routes of gateways and of their series, rows and limits."""

from __future__ import annotations

from typing import Any

from cloud_functions.api import schemas
from cloud_functions.api.services import Services
from cloud_functions.core import alert_queries, gateways, parameters, series_list
from cloud_functions.core.errors import RequestError
from cloud_functions.rest.request import Request
from cloud_functions.rest.roles import Role
from cloud_functions.rest.routes import Parameter, Route
from cloud_functions.rest.schema import TEXT, one_of, page


def list_gateways(request: Request, services: Services) -> dict[str, Any]:
    """Return gateways with figures, health, silence and open alerts, a page at a time."""
    items, following = gateways.page(services.telemetry, request.query, services.silence)
    counts = alert_queries.open_counts(services.alerts, {item["gateway"] for item in items})
    return listed([item | {"alerts": counts[item["gateway"]]} for item in items], following)


def show_gateway(request: Request, services: Services) -> dict[str, Any]:
    """Return one gateway: the same, and its last notice, its losses, and the sequences of each epoch."""
    found = gateways.gateway(services.telemetry, request.names["gateway"], services.silence)
    counts = alert_queries.open_counts(services.alerts, {found["gateway"]})
    return found | {"alerts": counts[found["gateway"]]}


def list_series(request: Request, services: Services) -> dict[str, Any]:
    """Return the series of a gateway."""
    return listed(*series_list.page(services.telemetry, request.names["gateway"], request.query))


def list_latest(request: Request, services: Services) -> dict[str, Any]:
    """Return the latest row of each series."""
    from cloud_functions.core.latest import latest

    return listed(latest(services.telemetry, services.profiles.find, request.names["gateway"], request.query))


def list_aggregates(request: Request, services: Services) -> dict[str, Any]:
    """Return rows of a series as columns, or as items."""
    from cloud_functions.core import queries

    problems: list[str] = []
    form = parameters.choice(request.query, "format", FORMATS, "columns", problems)
    if problems:
        raise RequestError(problems)
    span = queries.read_span(request.query, services.now_ms(), services.raw_ms)
    gateway, series = request.names["gateway"], request.query["series"]
    found = queries.aggregates(services.telemetry, services.profiles.find, gateway, series, span, services.archived)
    if form == "columns":
        return found
    columns = found.pop("columns")
    return found | {"items": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def show_limits(request: Request, services: Services) -> dict[str, Any]:
    """Return the limits of a series."""
    from cloud_functions.core import limits

    return limits.show(services.telemetry, request.names["gateway"], request.query["series"])


def put_limits(request: Request, services: Services) -> dict[str, Any]:
    """Store the limits of a series, the default of forecasts."""
    from cloud_functions.core import limits

    gateway, series = request.names["gateway"], request.query["series"]
    return limits.keep(services.telemetry, gateway, series, request.json_object())


def listed(items: list[dict[str, Any]], following: str | None = None) -> dict[str, Any]:
    """Return a page of a list."""
    return {"items": items} | ({} if following is None else {"next": following})


FORMATS = ("columns", "rows")
_FORMAT = Parameter("format", "columns: one list a column; rows: items, one object a row", one_of(*FORMATS))
_RESOLUTION = Parameter(
    "resolution",
    "Width of the rows; auto: the finest that gives at most about 1,000 rows and is stored",
    one_of("auto", "raw", "15m", "1h", "1d"),
)
_UNIT = Parameter("unit", "Unit of the rows, if it changed; default: that of the newest row", TEXT)
_G = "/v1/gateways/{gateway}"
_RANGE = (schemas.FROM, schemas.TO)
_PAGE = (schemas.LIMIT, schemas.CURSOR)

ROUTES = (
    Route("GET", "/v1/gateways", Role.VIEWER, list_gateways, "List gateways", page(schemas.GATEWAY), parameters=_PAGE),
    Route("GET", _G, Role.VIEWER, show_gateway, "Show a gateway", schemas.GATEWAY_DETAILS, statuses=(404,)),
    Route(
        "GET",
        f"{_G}/series",
        Role.VIEWER,
        list_series,
        "List the series of a gateway",
        page(schemas.SERIES_ITEM),
        parameters=(schemas.SERIES_GLOB, *_PAGE),
    ),
    Route(
        "GET",
        f"{_G}/latest",
        Role.VIEWER,
        list_latest,
        "List the latest row of each series",
        page(schemas.LATEST),
        parameters=(schemas.SERIES_GLOB,),
    ),
    Route(
        "GET",
        f"{_G}/aggregates",
        Role.VIEWER,
        list_aggregates,
        "List rows of a series as columns",
        schemas.AGGREGATES,
        parameters=(schemas.SERIES, *_RANGE, _RESOLUTION, _UNIT, _FORMAT, *_PAGE),
        statuses=(404,),
    ),
    Route(
        "GET",
        f"{_G}/limits",
        Role.VIEWER,
        show_limits,
        "Show the limits of a series",
        schemas.LIMITS,
        parameters=(schemas.SERIES,),
        statuses=(404,),
    ),
    Route(
        "PUT",
        f"{_G}/limits",
        Role.OPERATOR,
        put_limits,
        "Store the limits of a series",
        schemas.LIMITS,
        parameters=(schemas.SERIES,),
        body={"application/json": schemas.LIMITS_BODY},
        statuses=(404, 415),
    ),
)
