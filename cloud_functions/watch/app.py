"""The watch function: runs each minute, and does what becomes due without a message."""

from __future__ import annotations

from typing import Any

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.adapters.queues import queue_urls
from cloud_functions.adapters.sqs import SqsOutbox
from cloud_functions.adapters.workers import Workers
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.dispatch import Dispatcher
from cloud_functions.core.gateway_watch import GatewayWatch
from cloud_functions.core.gateways import SILENT_AFTER_MS
from cloud_functions.core.grouping import Groups
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.watch import SHARDS, Watch
from cloud_functions.json_log import LambdaContext, Logger

log = Logger(service="strandline-watch")
metrics = Metrics()

telemetry = DynamoTable(settings.text("TELEMETRY_TABLE"), metrics=metrics)
alerts_table = DynamoTable(settings.text("ALERTS_TABLE"), metrics=metrics)
configuration = Configuration(alerts_table, now_ms, metrics)
outbox = SqsOutbox(queue_urls(settings.text("CHANNEL_QUEUES")))
groups = Groups(alerts_table, outbox, now_ms)
book = AlertBook(
    alerts_table,
    now_ms,
    settings.number("ALERT_RETENTION_DAYS", 400) * DAY_MS,
    silences=configuration.silences,
)
gateway_watch = GatewayWatch(
    telemetry,
    alerts_table,
    book,
    configuration.rules,
    Profiles(telemetry, now_ms).find,
    now_ms,
    settings.number("SILENT_AFTER_MS", SILENT_AFTER_MS),
    metrics,
)
workers = Workers()
watch = Watch(
    telemetry,
    alerts_table,
    book,
    Dispatcher(configuration.routes, configuration.channels, outbox, groups),
    groups,
    gateway_watch,
    configuration.silences,
    configuration.routes,
    now_ms,
    metrics,
)


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "watch")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Run once over the shards, as far as the time of the invocation reaches; the next run continues.

    Only the invocation by the schedule starts others, which have the key ``worker``.
    """
    arn = context.invoked_function_arn
    start = None if "worker" in event else lambda count: workers.start(arn, count)
    finished = watch.run(context.get_remaining_time_in_millis, start)
    metrics.count("finished_shards", finished)
    return {"finished": finished, "shards": SHARDS}
