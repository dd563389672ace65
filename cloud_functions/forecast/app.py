"""The forecast function: one route of API v1. It reads the telemetry table only."""

from __future__ import annotations

from typing import Any

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.clock import now_ms
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.profiles import Profiles
from cloud_functions.forecast.routes import ROUTES, ForecastServices
from cloud_functions.json_log import LambdaContext, Logger
from cloud_functions.rest.roles import RoleRules
from cloud_functions.rest.routes import Router
from cloud_functions.rest.service import Service

log = Logger(service="strandline-forecast")
metrics = Metrics()
telemetry = DynamoTable(settings.text("TELEMETRY_TABLE"), metrics=metrics)
services = ForecastServices(telemetry, now_ms, Profiles(telemetry, now_ms))
rules = RoleRules.read(settings.text("ROLE_CLAIM", "cognito:groups"), settings.text("IAM_ROLES", "*=admin"))
service = Service(Router(ROUTES), services, rules, metrics, log)


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "forecast")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    return service.respond(event)
