"""The alerting function: fed by the streams of the telemetry and the alerts table."""

from __future__ import annotations

from typing import Any

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.adapters.queues import queue_urls
from cloud_functions.adapters.sqs import SqsOutbox
from cloud_functions.adapters.streams import images
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core.alert import State
from cloud_functions.core.alerting import Ahead, AlertBook, anomaly_of
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.dispatch import Dispatcher, Transition, transitions_of
from cloud_functions.core.errors import CloudError
from cloud_functions.core.grouping import Groups
from cloud_functions.core.metrics import Metrics
from cloud_functions.json_log import LambdaContext, Logger
from wire.errors import WireError

log = Logger(service="strandline-alerting")
metrics = Metrics()

alerts_table = DynamoTable(settings.text("ALERTS_TABLE"), metrics=metrics)
configuration = Configuration(alerts_table, now_ms, metrics)
book = AlertBook(
    alerts_table,
    now_ms,
    settings.number("ALERT_RETENTION_DAYS", 400) * DAY_MS,
    settings.number("ALERT_HOLD_MS", 0),
    configuration.silences,
)
outbox = SqsOutbox(queue_urls(settings.text("CHANNEL_QUEUES")))
dispatcher = Dispatcher(configuration.routes, configuration.channels, outbox, Groups(alerts_table, outbox, now_ms))


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "alerting")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Process a batch of a stream.

    Every record is processed, also after a failure. If any record failed, Lambda retries the whole batch, which is
    idempotent, and bisects it until the failing record is alone and is sent to the failure queue.
    """
    failures: list[str] = []
    entered: list[Transition] = []
    ahead = _read_ahead(event["Records"])
    for record in event["Records"]:
        try:
            entered += _process(record, ahead)
        except Exception as error:
            log.exception("stream record failed", extra={"keys": record.get("dynamodb", {}).get("Keys")})
            failures.append(f"{type(error).__name__}: {error}")
            metrics.count("failed_records")
    if entered:
        _dispatch(entered)
    if failures:
        raise CloudError(f"{len(failures)} of {len(event['Records'])} stream records failed: {failures[0][:500]}")


def _read_ahead(records: list[dict[str, Any]]) -> Ahead:
    """Return what the reports of a batch need of the table; empty on failure: then each is read by itself."""
    try:
        found = [report for record in records if (new := images(record)[1]) and (report := anomaly_of(new))]
        return book.read_ahead(found) if len(found) > 1 else {}
    except (CloudError, WireError, LookupError, TypeError, ValueError) as error:
        log.warning("reports are not read together: %s", error)
        return {}


def _process(record: dict[str, Any], ahead: Ahead) -> list[Transition]:
    """Merge a report into its alert, or return the transitions of a changed alert."""
    old, new = images(record)
    if new is None:
        return []
    report = anomaly_of(new)
    if report is None:
        return transitions_of(old, new)
    alert = book.report(*report, ahead=ahead)
    metrics.count("reports")
    log.info("report", extra={"gateway": alert.gateway, "series": alert.report.series, "state": alert.state})
    return []


def _dispatch(entered: list[Transition]) -> None:
    """Dispatch the transitions of a batch together: they share requests and notifications."""
    dispatcher.dispatch(entered)
    metrics.count("published_transitions", len(entered))
    for alert, state in entered:
        if state is State.FIRING:
            metrics.observe("event_to_alert_ms", now_ms() - alert.report.onset_ms)
    log.info("dispatched", extra={"transitions": len(entered)})
