"""The api function: all routes of API v1 but the forecast, behind IAM or JWT (template.yaml)."""

from __future__ import annotations

from typing import Any

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.api.services import Services
from cloud_functions.api.table import ROUTES
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core import gateways
from cloud_functions.core.metrics import Metrics
from cloud_functions.json_log import LambdaContext, Logger
from cloud_functions.rest.roles import RoleRules
from cloud_functions.rest.routes import Router
from cloud_functions.rest.service import Service

log = Logger(service="strandline-api")
metrics = Metrics()
services = Services(
    telemetry=DynamoTable(settings.text("TELEMETRY_TABLE"), metrics=metrics),
    alerts=DynamoTable(settings.text("ALERTS_TABLE"), metrics=metrics),
    now_ms=now_ms,
    raw_ms=settings.number("RAW_DAYS", 7) * DAY_MS,
    report_ms=settings.number("RETENTION_DAYS", 90) * DAY_MS,
    alert_ms=settings.number("ALERT_RETENTION_DAYS", 400) * DAY_MS,
    silent_after_ms=settings.number("SILENT_AFTER_MS", gateways.SILENT_AFTER_MS),
    metrics=metrics,
    archive_function=settings.text("ARCHIVE_FUNCTION"),
)
rules = RoleRules.read(settings.text("ROLE_CLAIM", "cognito:groups"), settings.text("IAM_ROLES", "*=admin"))
service = Service(Router(ROUTES), services, rules, metrics, log)


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "api")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    return service.respond(event)
