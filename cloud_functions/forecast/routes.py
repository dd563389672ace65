"""The route of the forecast function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloud_functions.core.ports import NowMs, Table
from cloud_functions.rest.request import Request
from cloud_functions.rest.roles import Role
from cloud_functions.rest.routes import Parameter, Route
from cloud_functions.rest.schema import MS, NUMBER, TEXT, WHOLE, array, mapping, one_of, or_null, record

if TYPE_CHECKING:
    from cloud_functions.core.profiles import Profiles


@dataclass
class ForecastServices:
    """Table, clock and profiles that the route uses."""

    telemetry: Table
    now_ms: NowMs
    profiles: Profiles


def show_forecast(request: Request, services: ForecastServices) -> dict[str, Any]:
    """Return when a series reaches its limits, or the reason why an estimate is not possible."""
    from cloud_functions.core import forecasts

    wanted = forecasts.read_request(request.query, services.now_ms())
    gateway, series = request.names["gateway"], request.query["series"]
    return forecasts.forecast(services.telemetry, services.profiles.find, gateway, series, wanted)


_LIMIT = record(
    {
        "side": one_of("high", "low"),
        "limit": NUMBER,
        "estimate": or_null(record({"early_ms": WHOLE, "middle_ms": WHOLE, "late_ms": WHOLE})),
        "probability": or_null(NUMBER),
        "reason": or_null(TEXT),
        "detail": TEXT,
    }
)
_HISTORY = record({"from_ms": MS, "to_ms": MS, "rows": WHOLE, "steps": WHOLE, "step_ms": WHOLE})
_ANSWER = record(
    {
        "gateway": TEXT,
        "series": TEXT,
        "unit": TEXT,
        "interval": NUMBER,
        "history": or_null(_HISTORY),
        "until_ms": or_null(WHOLE),
        "model": or_null(mapping(or_null(NUMBER))),
        "limits": array(_LIMIT),
    }
)

ROUTES = (
    Route(
        "GET",
        "/v1/gateways/{gateway}/forecast",
        Role.VIEWER,
        show_forecast,
        "Show when a series reaches its limits",
        _ANSWER,
        parameters=(
            Parameter("series", "Name of the series", TEXT, required=True),
            Parameter("high", "Limit that is reached from below; default: the stored one", TEXT),
            Parameter("low", "Limit that is reached from above; default: the stored one", TEXT),
            Parameter("from", "Begin of the history; default: a day before its end", TEXT),
            Parameter("to", "End of the history; default: now", TEXT),
            Parameter("horizon", "Length of the forecast in ms; default: the length of the history", TEXT),
        ),
        statuses=(404,),
    ),
)
