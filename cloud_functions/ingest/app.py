"""The ingest function: stores and acknowledges the batches of a queue or stream, or keeps them as dead letters."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.adapters.iot import IotAcknowledger
from cloud_functions.adapters.sqs import SqsDeadLetterSink
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.storing import Storer
from cloud_functions.json_log import LambdaContext, Logger

RESERVED_MS = 8_000
"""Time of an invocation that is reserved for recording and acknowledging what it has stored."""
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
    """Store the batches of a queue or stream; return the messages that must be delivered again.

    Messages for which no time is left are among them: a function that runs into its timeout would acknowledge nothing.
    """
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
    ingest.recognize(message.body for message in messages)
    again = {message.id: None for message in messages}
    for message in messages:
        if context.get_remaining_time_in_millis() < RESERVED_MS:
            log.error("no time left", extra={"messages": len(again)})
            metrics.count("out_of_time", len(again))
            break
        try:
            ingest.accept(message.id, message.body, message.source)
        except StoreError as error:
            log.warning("not stored: %s", error, extra={"message_id": message.id})
            metrics.count("not_stored")
        except Exception:
            log.exception("not stored", extra={"message_id": message.id})
            metrics.count("unexpected_errors")
        else:
            del again[message.id]
    again |= dict.fromkeys(ingest.finish())
    return {"batchItemFailures": [{"itemIdentifier": message.id} for message in messages if message.id in again]}


class Message(NamedTuple):
    """A message of a queue, or a record of a stream; ``source`` is the name of the queue, empty for a stream."""

    id: str
    body: str
    source: str


def message_of(record: Mapping[str, Any]) -> Message:
    """Return the message of an event's record."""
    if "kinesis" in record:
        # A stream has no dead letters of its own: what ingest rejects is redriven to the bulk queue, from its topic.
        data = base64.b64decode(record["kinesis"]["data"])
        return Message(str(record["kinesis"]["sequenceNumber"]), data.decode(errors="replace"), "")
    source = str(record.get("eventSourceARN") or "").rsplit(":", 1)[-1]
    return Message(str(record["messageId"]), str(record["body"]), source)
