"""The ingest function: stores and acknowledges the batches of a queue, or keeps them as dead letters."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.adapters.iot import IotAcknowledger
from cloud_functions.adapters.sqs import SqsDeadLetterSink
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.storing import Storer

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
    """Store the batches of SQS messages; return those that the queue must deliver again."""
    ingest = Ingest(
        table,
        storer,
        acknowledger,
        dead_letters,
        now_ms,
        log,  # type: ignore[arg-type]
        check_client=check_client,
        metrics=metrics,
    )
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def accept(record: SQSRecord) -> None:
        queue = str(record.get("eventSourceARN") or "").rsplit(":", 1)[-1]
        ingest.accept(record.message_id, record.body, queue)

    with processor(records=event["Records"], handler=accept):
        processor.process()
    again = [entry["itemIdentifier"] for entry in processor.response()["batchItemFailures"]]
    again += [message for message in ingest.finish() if message not in again]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}
