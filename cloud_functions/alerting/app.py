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
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.changes import ChangeProcessor
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.dispatch import Dispatcher
from cloud_functions.core.errors import CloudError
from cloud_functions.core.grouping import Groups
from cloud_functions.core.metrics import Metrics
from cloud_functions.json_log import LambdaContext, Logger

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
    processor = ChangeProcessor(book, dispatcher, now_ms, log, metrics)
    failed = processor.process([images(record) for record in event["Records"]])
    if failed:
        first = next(iter(failed.values()))
        raise CloudError(f"{len(failed)} of {len(event['Records'])} stream records failed: {first[:500]}")
