"""The ingest function: stores and acknowledges the batches of a queue or stream, or keeps them as dead letters."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.adapters.iot import IotAcknowledger
from cloud_functions.adapters.sqs import SqsDeadLetterSink
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.ingest_run import Message, run
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.storing import Storer
from cloud_functions.json_log import LambdaContext, Logger

log = Logger(service="strandline-ingest")
metrics = Metrics()

table = DynamoTable(settings.text("TELEMETRY_TABLE"), metrics=metrics)
acknowledger = IotAcknowledger()
dead_letters = SqsDeadLetterSink(settings.text("DEAD_LETTERS_URL"))
storer = Storer(
    table,
    now_ms,
    settings.number("RAW_DAYS", 7) * DAY_MS,
    settings.number("RETENTION_DAYS", 90) * DAY_MS,
    check_rows=settings.text("INGEST_CHECK", "head") == "rows",
)
check_client = settings.text("CLIENT_CHECK", "thing-name") == "thing-name"


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "ingest")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Store the batches of a queue or stream; return the messages that must be delivered again."""
    ingest = Ingest(
        table,
        storer,
        acknowledger,
        dead_letters,
        now_ms,
        log,
        check_client=check_client,
        metrics=metrics,
    )
    messages = [message_of(record) for record in event["Records"]]
    again = run(ingest, messages, context.get_remaining_time_in_millis, log, metrics)
    return {"batchItemFailures": [{"itemIdentifier": message.id} for message in again]}


def message_of(record: Mapping[str, Any]) -> Message:
    """Return the message of an event's record."""
    if "kinesis" in record:
        # A stream has no dead letters of its own: what ingest rejects is redriven to the bulk queue, from its topic.
        data = base64.b64decode(record["kinesis"]["data"])
        return Message(str(record["kinesis"]["sequenceNumber"]), data.decode(errors="replace"), "")
    source = str(record.get("eventSourceARN") or "").rsplit(":", 1)[-1]
    return Message(str(record["messageId"]), str(record["body"]), source)
