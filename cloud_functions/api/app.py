"""The api function; its routes are those of template.yaml, each behind IAM."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.utilities.typing import LambdaContext

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core import gateways, keys, limits, queries
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.errors import DifferentError, Reason, RejectError, RequestError
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.storing import Storer
from cloud_functions.core.telemetry import read_telemetry
from cloud_functions.http_errors import answer, answer_errors

log = Logger(service="strandline-api")
app = APIGatewayHttpResolver()
answer_errors(app, log)

metrics = Metrics()
telemetry = DynamoTable(settings.text("TELEMETRY_TABLE"), metrics=metrics)
alerts_table = DynamoTable(settings.text("ALERTS_TABLE"), metrics=metrics)
raw_ms = settings.number("RAW_DAYS", 7) * DAY_MS
profiles = Profiles(telemetry, now_ms, raw_ms)
storer = Storer(telemetry, now_ms, raw_ms, settings.number("RETENTION_DAYS", 90) * DAY_MS, profiles=profiles)
silent_after_ms = settings.number("SILENT_AFTER_MS", gateways.SILENT_AFTER_MS)
book = AlertBook(alerts_table, now_ms, settings.number("ALERT_RETENTION_DAYS", 400) * DAY_MS)


@log.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "api")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    response: dict[str, Any] = app.resolve(event, context)
    metrics.count("requests")
    metrics.count("failed_requests", int(response["statusCode"] >= 500))
    return response


@app.get("/gateways")
def list_gateways() -> dict[str, Any]:
    """Return gateways with their figures, a page at a time."""
    return gateways.page(telemetry, _query(), _silence())


@app.get("/gateways/<gateway>")
def show_gateway(gateway: str) -> dict[str, Any]:
    """Return one gateway: figures, last notice, losses, received and missing sequences."""
    return gateways.gateway(telemetry, unquote(gateway), _silence())


@app.get("/gateways/<gateway>/series")
def list_series(gateway: str) -> dict[str, Any]:
    """Return the series of a gateway."""
    return {"gateway": unquote(gateway), "series": queries.series(telemetry, unquote(gateway))}


@app.get("/gateways/<gateway>/series/<series>/aggregates")
def list_aggregates(gateway: str, series: str) -> dict[str, Any]:
    """Return rows of a series in a time range."""
    return _aggregates(gateway, unquote(series))


@app.get("/gateways/<gateway>/aggregates")
def list_aggregates_of(gateway: str) -> dict[str, Any]:
    """Return the same with the series in the query: a name may contain a slash, which not every path carries."""
    query = _query()
    if "series" not in query:
        raise RequestError(["series: it is missing"])
    return _aggregates(gateway, query["series"])


@app.get("/alerts")
def list_alerts() -> dict[str, Any]:
    """Return alerts of all gateways."""
    return {"alerts": gateways.mark(telemetry, queries.alerts_by_state(alerts_table, _query()), _silence())}


@app.get("/gateways/<gateway>/alerts")
def list_alerts_of(gateway: str) -> dict[str, Any]:
    """Return alerts of one gateway."""
    found = queries.alerts_of(alerts_table, unquote(gateway), _query())
    return {"gateway": unquote(gateway), "alerts": gateways.mark(telemetry, found, _silence())}


@app.post("/alerts/<alert>/acknowledge")
def acknowledge_alert(alert: str) -> dict[str, Any]:
    """Acknowledge an alert."""
    return book.acknowledge(alert, _caller()).to_dict()


@app.post("/telemetry")
def post_telemetry() -> Response[str]:
    """Store readings of any gateway."""
    return _store(None)


@app.post("/gateways/<gateway>/telemetry")
def post_telemetry_of(gateway: str) -> Response[str]:
    """Store readings of the gateway in the path, to which an IAM policy can restrict the caller."""
    return _store(unquote(gateway))


@app.put("/gateways/<gateway>/limits")
def put_limits(gateway: str) -> dict[str, Any]:
    """Store the limits of a series, the default of forecasts."""
    return limits.keep(telemetry, unquote(gateway), _body())


def _store(gateway: str | None) -> Response[str]:
    arrival = read_telemetry(_body(), now_ms, gateway)
    try:
        stored = storer.store(arrival)
    except RejectError as error:
        kind = DifferentError if error.reason is Reason.DIFFERENT else RequestError
        raise kind([error.detail]) from error
    amounts = stored.totals if stored.new else {"duplicates": 1}
    metrics.counts.update(amounts)
    now = now_ms()
    telemetry.add(keys.about(arrival.name.gateway), amounts, {"kind": "about", "seen_ms": now}, {"first_seen_ms": now})
    return answer(201 if stored.new else 200, {"stored": stored.totals["rows"], "new": stored.new})


def _aggregates(gateway: str, series: str) -> dict[str, Any]:
    span = queries.read_span(_query(), now_ms(), raw_ms)
    return queries.aggregates(telemetry, profiles.find, unquote(gateway), series, span)


def _silence() -> gateways.Silence:
    return gateways.Silence(now_ms(), silent_after_ms)


def _query() -> dict[str, str]:
    return dict(app.current_event.query_string_parameters or {})


def _body() -> str:
    body = app.current_event.body or ""
    if app.current_event.is_base64_encoded:
        try:
            return base64.b64decode(body).decode()
        except ValueError as error:
            raise RequestError(["body: not UTF-8 text"]) from error
    return body


def _caller() -> str:
    """Return the acknowledging person: the signing IAM identity and the name that the request gives."""
    context = app.current_event.raw_event.get("requestContext") or {}
    identity = ((context.get("authorizer") or {}).get("iam") or {}).get("userArn")
    try:
        given = json.loads(_body() or "{}")
    except (ValueError, RecursionError) as error:
        raise RequestError([f"body: not JSON: {str(error)[:200]}"]) from error
    by = given.get("by", "") if isinstance(given, dict) else None
    if not isinstance(by, str) or len(by) > 128:
        raise RequestError([f"by: {by!r:.80}: a text of at most 128 characters"])
    return " for ".join(part for part in (str(identity or ""), by) if part) or "unknown"
