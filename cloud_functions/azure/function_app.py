"""Wiring of the Azure Functions (programming model v2): triggers and settings, nothing else."""

from __future__ import annotations

import functools
import logging

import azure.functions as func

from cloud_functions import settings
from cloud_functions.adapters.azure.api import ROLE_CLAIM, ApiHandler, rest_of
from cloud_functions.adapters.azure.channels import Destinations, deliverers
from cloud_functions.adapters.azure.handlers import Handlers, Options
from cloud_functions.adapters.azure.identity import of_app
from cloud_functions.adapters.azure.iot_hub import By, IotHub
from cloud_functions.adapters.azure.notify import NotifyHandler
from cloud_functions.adapters.azure.storage import of_account
from cloud_functions.adapters.channels import registry
from cloud_functions.clock import now_ms
from cloud_functions.core.metrics import Metrics
from cloud_functions.rest.roles import RoleRules

app = func.FunctionApp()
log = logging.getLogger("strandline")
storage = of_account(settings.text("STORAGE_ACCOUNT"))
options = Options(
    raw_days=settings.number("RAW_DAYS", 7),
    retention_days=settings.number("RETENTION_DAYS", 90),
    alert_retention_days=settings.number("ALERT_RETENTION_DAYS", 400),
    alert_hold_ms=settings.number("ALERT_HOLD_MS", 0),
    silent_after_ms=settings.number("SILENT_AFTER_MS", 15 * 60_000),
    archive_shards=settings.number("ARCHIVE_SHARDS", 1),
    acknowledge_by=By(settings.text("ACKNOWLEDGE_BY", "message")),
)
handlers = Handlers(storage, IotHub(settings.text("IOTHUB_SERVICE"), now_ms), options, now_ms, log)


@functools.cache
def _notifier() -> NotifyHandler:
    destinations = Destinations(
        alerts=settings.text("ALERTS_TOPIC"),
        events=settings.text("EVENTS_TOPIC"),
        vault=settings.text("VAULT"),
        email=settings.optional("EMAIL_URL"),
    )
    metrics = Metrics()
    channels = registry.Options(sender=settings.optional("EMAIL_FROM"), link=settings.optional("DASHBOARD_URL"))
    return NotifyHandler(storage, deliverers(channels, destinations, of_app(), metrics, now_ms), metrics, now_ms, log)


@functools.cache
def _api() -> ApiHandler:
    rest = rest_of(storage, options, RoleRules.read(ROLE_CLAIM, ""), now_ms, Metrics(), log)
    # App Service sets this variable where the authentication of the app is on.
    return ApiHandler(rest, settings.optional("WEBSITE_AUTH_ENABLED").lower() == "true", log)


@app.function_name("ingest")
@app.event_hub_message_trigger(
    arg_name="events",
    event_hub_name="%IOTHUB_EVENTS_NAME%",
    connection="IOTHUB_EVENTS",
    cardinality=func.Cardinality.MANY,
    consumer_group="strandline",
    data_type=func.DataType.BINARY,
)
@app.retry(
    strategy="exponential_backoff", max_retry_count="-1", minimum_interval="00:00:05", maximum_interval="00:05:00"
)
def ingest(events: list[func.EventHubEvent]) -> None:
    """Store and acknowledge the batches of gateways."""
    handlers.ingest(events)


@app.function_name("ingest_again")
@app.queue_trigger(arg_name="message", queue_name="retry", connection="STORAGE")
def ingest_again(message: func.QueueMessage) -> None:
    """Store and acknowledge a batch that was not stored before."""
    handlers.ingest_again(message)


@app.function_name("alerting")
@app.queue_trigger(arg_name="message", queue_name="changes", connection="STORAGE")
def alerting(message: func.QueueMessage) -> None:
    """Process changes of reports and alerts."""
    handlers.alerting(message)


@app.function_name("watch")
@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
def watch(timer: func.TimerRequest) -> None:
    """Do each minute what becomes due without a message."""
    handlers.watch(timer)


@app.function_name("compact")
@app.timer_trigger(arg_name="timer", schedule="0 12 * * * *")
def compact(timer: func.TimerRequest) -> None:
    """Compact each hour the hours that ended."""
    handlers.compact(timer)


@app.function_name("expire")
@app.timer_trigger(arg_name="timer", schedule="0 40 2 * * *")
def expire(timer: func.TimerRequest) -> None:
    """Remove expired items each night."""
    handlers.expire(timer)


@app.function_name("notify_webhook")
@app.queue_trigger(arg_name="message", queue_name="channel-webhook", connection="STORAGE")
def notify_webhook(message: func.QueueMessage) -> None:
    """Deliver an event to a webhook."""
    _notifier().deliver("webhook", message)


@app.function_name("notify_email")
@app.queue_trigger(arg_name="message", queue_name="channel-email", connection="STORAGE")
def notify_email(message: func.QueueMessage) -> None:
    """Deliver a notification by e-mail."""
    _notifier().deliver("email", message)


@app.function_name("notify_sns")
@app.queue_trigger(arg_name="message", queue_name="channel-sns", connection="STORAGE")
def notify_sns(message: func.QueueMessage) -> None:
    """Deliver an event to the topic of alerts."""
    _notifier().deliver("sns", message)


@app.function_name("notify_eventbridge")
@app.queue_trigger(arg_name="message", queue_name="channel-eventbridge", connection="STORAGE")
def notify_eventbridge(message: func.QueueMessage) -> None:
    """Deliver an event to the topic of events."""
    _notifier().deliver("eventbridge", message)


@app.function_name("notify_mqtt")
@app.queue_trigger(arg_name="message", queue_name="channel-mqtt", connection="STORAGE")
def notify_mqtt(message: func.QueueMessage) -> None:
    """Count an event for a gateway, which has no destination here."""
    _notifier().deliver("mqtt", message)


@app.function_name("notify_stepfunctions")
@app.queue_trigger(arg_name="message", queue_name="channel-stepfunctions", connection="STORAGE")
def notify_stepfunctions(message: func.QueueMessage) -> None:
    """Reject an event for a state machine, which Azure does not have."""
    _notifier().deliver("stepfunctions", message)


@app.function_name("api")
@app.route(route="v1/{*path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
def api(request: func.HttpRequest) -> func.HttpResponse:
    """Answer a request of API v1, that of the forecast included."""
    return _api().respond(request)
