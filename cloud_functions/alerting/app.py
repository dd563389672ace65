"""The alerting function: fed by the streams of the telemetry and the alerts table."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.adapters.eventbridge import EventBridgePublisher
from cloud_functions.adapters.iot import IotPublisher
from cloud_functions.adapters.sns import SnsPublisher
from cloud_functions.adapters.streams import images
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core.alert import State
from cloud_functions.core.alerting import AlertBook, anomaly_of, publish_transitions
from cloud_functions.core.errors import CloudError
from cloud_functions.core.metrics import Metrics

log = Logger(service="strandline-alerting")
metrics = Metrics()

book = AlertBook(
    DynamoTable(settings.text("ALERTS_TABLE"), metrics=metrics),
    now_ms,
    settings.number("ALERT_RETENTION_DAYS", 400) * DAY_MS,
    settings.number("ALERT_HOLD_MS", 0),
)
publishers = (
    SnsPublisher(settings.text("ALERTS_TOPIC")),
    EventBridgePublisher(settings.text("ALERTS_BUS")),
    IotPublisher(),
)


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "alerting")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Process a batch of a stream.

    Every record is processed, also after a failure. If any record failed, Lambda retries the whole batch, which is
    idempotent, and bisects it until the failing record is alone and is sent to the failure queue.
    """
    failures: list[str] = []
    for record in event["Records"]:
        try:
            _process(record)
        except Exception as error:
            log.exception("stream record failed", extra={"keys": record.get("dynamodb", {}).get("Keys")})
            failures.append(f"{type(error).__name__}: {error}")
            metrics.count("failed_records")
    if failures:
        raise CloudError(f"{len(failures)} of {len(event['Records'])} stream records failed: {failures[0][:500]}")


def _process(record: dict[str, Any]) -> None:
    old, new = images(record)
    if new is None:
        return
    report = anomaly_of(new)
    if report is not None:
        alert = book.report(*report)
        metrics.count("reports")
        log.info("report", extra={"gateway": alert.gateway, "series": alert.report.series, "state": alert.state})
    elif entered := publish_transitions(old, new, publishers):
        metrics.count("published_transitions", len(entered))
        if State.FIRING in entered:
            onset_ms, _ = str(new["sk"]).split("#", 1)
            metrics.observe("event_to_alert_ms", now_ms() - int(onset_ms))
        log.info("published", extra={"gateway": new["pk"], "alert": new["sk"], "state": new["state"]})
