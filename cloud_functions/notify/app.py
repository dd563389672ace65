"""The notify function: delivers the messages of the channels' queues, each type of channel from its own queue."""

from __future__ import annotations

from typing import Any

from cloud_functions import settings
from cloud_functions.adapters.channels import of_aws as of_aws
from cloud_functions.adapters.channels.notifier import Notifier
from cloud_functions.adapters.channels.registry import Deliverers, Options
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.adapters.queues import queue_urls
from cloud_functions.adapters.sqs import SqsVisibility
from cloud_functions.clock import now_ms
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.deliveries import retry_after_s
from cloud_functions.core.errors import StoreError
from cloud_functions.core.metrics import Metrics
from cloud_functions.json_log import LambdaContext, Logger

log = Logger(service="strandline-notify")
metrics = Metrics()
configuration = Configuration(DynamoTable(settings.text("ALERTS_TABLE"), metrics=metrics), now_ms, metrics)
deliverers = Deliverers(
    Options(
        alerts_topic=settings.text("ALERTS_TOPIC"),
        notifications_topic=settings.text("NOTIFICATIONS_TOPIC"),
        bus=settings.text("ALERTS_BUS"),
        sender=settings.optional("EMAIL_FROM"),
        link=settings.optional("DASHBOARD_URL"),
        loopback=settings.text("WEBHOOK_LOOPBACK", "off") == "on",
    )
)
visibility = SqsVisibility(queue_urls(settings.text("CHANNEL_QUEUES")))


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "notify")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Deliver the messages of a queue; return those that must be delivered again, each after its own delay.

    A message that cannot be delivered at the last attempt is moved to the dead letters of the queue.
    """
    records = event["Records"]
    notifier = Notifier(configuration.channels, deliverers, metrics, log)
    failed = notifier.deliver([str(record["body"]) for record in records])
    for at, reason in failed.items():
        _delay(records[at], reason)
    return {"batchItemFailures": [{"itemIdentifier": records[at]["messageId"]} for at in sorted(failed)]}


def _delay(record: dict[str, Any], reason: str) -> None:
    attempt = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    log.warning("not delivered: %s", reason, extra={"message_id": record["messageId"], "attempt": attempt})
    queue_name = str(record["eventSourceARN"]).rsplit(":", 1)[-1]
    try:
        visibility.delay(queue_name, str(record["receiptHandle"]), retry_after_s(attempt))
    except StoreError as error:
        # It becomes visible after the queue's own timeout.
        log.warning("delay not set: %s", error, extra={"message_id": record["messageId"]})
