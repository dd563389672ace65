"""The forecast function; its routes are those of template.yaml, each behind IAM. It reads the telemetry table only."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.utilities.typing import LambdaContext

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.clock import now_ms
from cloud_functions.core import forecasts
from cloud_functions.core.errors import RequestError
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.profiles import Profiles
from cloud_functions.http_errors import answer_errors

log = Logger(service="strandline-forecast")
app = APIGatewayHttpResolver()
answer_errors(app, log)

metrics = Metrics()
telemetry = DynamoTable(settings.text("TELEMETRY_TABLE"), metrics=metrics)
profiles = Profiles(telemetry, now_ms)


@log.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "forecast")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    response: dict[str, Any] = app.resolve(event, context)
    metrics.count("requests")
    metrics.count("failed_requests", int(response["statusCode"] >= 500))
    return response


@app.get("/gateways/<gateway>/series/<series>/forecast")
def show_forecast(gateway: str, series: str) -> dict[str, Any]:
    """Return when a series reaches its limits."""
    request = forecasts.read_request(_query(), now_ms())
    return forecasts.forecast(telemetry, profiles.find, unquote(gateway), unquote(series), request)


@app.get("/gateways/<gateway>/forecast")
def show_forecast_of(gateway: str) -> dict[str, Any]:
    """Return the same with the series in the query: a name may contain a slash, which not every path carries."""
    query = _query()
    if "series" not in query:
        raise RequestError(["series: it is missing"])
    request = forecasts.read_request(query, now_ms())
    return forecasts.forecast(telemetry, profiles.find, unquote(gateway), query["series"], request)


def _query() -> dict[str, str]:
    return dict(app.current_event.query_string_parameters or {})
