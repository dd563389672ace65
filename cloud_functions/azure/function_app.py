"""Wiring of the Azure Functions (programming model v2): triggers and settings, nothing else."""

from __future__ import annotations

import logging

import azure.functions as func

from cloud_functions import settings
from cloud_functions.adapters.azure.handlers import Handlers, Options
from cloud_functions.adapters.azure.iot_hub import By, IotHub
from cloud_functions.adapters.azure.storage import of_account
from cloud_functions.clock import now_ms

app = func.FunctionApp()
handlers = Handlers(
    of_account(settings.text("STORAGE_ACCOUNT")),
    IotHub(settings.text("IOTHUB_SERVICE"), now_ms),
    Options(
        raw_days=settings.number("RAW_DAYS", 7),
        retention_days=settings.number("RETENTION_DAYS", 90),
        alert_retention_days=settings.number("ALERT_RETENTION_DAYS", 400),
        alert_hold_ms=settings.number("ALERT_HOLD_MS", 0),
        silent_after_ms=settings.number("SILENT_AFTER_MS", 15 * 60_000),
        archive_shards=settings.number("ARCHIVE_SHARDS", 1),
        acknowledge_by=By(settings.text("ACKNOWLEDGE_BY", "message")),
    ),
    now_ms,
    logging.getLogger("strandline"),
)


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
