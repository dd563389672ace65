"""The archive function: rows of a series in a day, for the API, which does not have pyarrow."""

from __future__ import annotations

import base64
from typing import Any

from cloud_functions import settings
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.core.metrics import Metrics
from cloud_functions.json_log import LambdaContext, Logger

log = Logger(service="strandline-archive")
metrics = Metrics()
table = DynamoTable(settings.text("TELEMETRY_TABLE"), metrics=metrics)
bucket = settings.text("ARCHIVE_BUCKET")


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "archive")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the rows of ``gateway`` and ``series`` in [``from_ms``, ``to_ms``), as the bytes of core/columns.py.

    With ``limit`` they are unmodified, and complete before ``until_ms``; without they are rows of 15 minutes.
    """
    from cloud_functions.adapters.s3_archive import S3Archive
    from cloud_functions.core.archive_reader import FileArchiveReader
    from cloud_functions.core.columns import encode_rows

    reader = FileArchiveReader(table, S3Archive(bucket))
    gateway, series, until_ms = event["gateway"], event["series"], int(event["to_ms"])
    if "limit" in event:
        rows, until_ms = reader.raw(gateway, series, int(event["from_ms"]), until_ms, int(event["limit"]))
    else:
        rows = reader.rolled_up(gateway, series, int(event["from_ms"]), until_ms)
    metrics.count("archive_requests")
    metrics.count("archive_rows", len(rows))
    return {"rows": base64.b64encode(encode_rows(rows)).decode(), "until_ms": until_ms}
