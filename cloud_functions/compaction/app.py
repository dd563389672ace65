"""The compaction function: a schedule makes it plan, a queue of tasks makes it compact."""

from __future__ import annotations

from typing import Any

from cloud_functions import settings
from cloud_functions.adapters.aws import lazy_client
from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.adapters.emf import publishing
from cloud_functions.adapters.sqs import SqsDeadLetterSink, SqsSender
from cloud_functions.clock import DAY_MS, now_ms
from cloud_functions.core.compaction_plan import Planner, Task
from cloud_functions.core.errors import CloudError
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.profiles import Profiles
from cloud_functions.json_log import LambdaContext, Logger

log = Logger(service="strandline-compaction")
metrics = Metrics()

table = DynamoTable(settings.text("TELEMETRY_TABLE"), metrics=metrics)
bucket = settings.text("ARCHIVE_BUCKET")
dead_letters = SqsDeadLetterSink(settings.text("DEAD_LETTERS_URL"))
tasks = SqsSender(lazy_client("sqs"))
tasks_url = settings.text("TASKS_URL")
planner = Planner(table, now_ms, settings.number("ARCHIVE_SHARDS", 1))
profiles = Profiles(table, now_ms, settings.number("RAW_DAYS", 7) * DAY_MS)
rollup_ms = settings.number("RETENTION_DAYS", 90) * DAY_MS


@log.inject_lambda_context
@publishing(metrics, settings.text("STACK_NAME", "strandline"), "compaction")
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Run the tasks of a queue; return those to deliver again. Any other event sends the planned tasks to the queue."""
    if "Records" not in event:
        planned = planner.plan()
        for task in planned:
            tasks.send(tasks_url, task.encode())
        metrics.count("tasks_planned", len(planned))
        # From the beginning of the oldest hour that is not compacted: between 70 and 140 minutes while all goes well.
        metrics.observe("compaction_lag_ms", now_ms() - planned[0].start_ms if planned else 0)
        log.info("planned", extra={"tasks": len(planned)})
        return {"tasks": len(planned)}
    # With NumPy and pyarrow, which the planner does not need.
    from cloud_functions.adapters.s3_archive import S3Archive
    from cloud_functions.core.compaction import Compactor, Outcome

    failed = []
    compactor = Compactor(
        table,
        S3Archive(bucket),
        profiles.find,
        dead_letters,
        now_ms,
        rollup_ms,
        lambda: str(context.aws_request_id),
        context.get_remaining_time_in_millis,
    )
    for record in event["Records"]:
        try:
            task = Task.decode(record["body"])
            outcome = compactor.run(task)
            if outcome is Outcome.PARTIAL:
                tasks.send(tasks_url, task.encode())
        except CloudError:
            log.exception("task failed", extra={"task": record["body"][:200]})
            metrics.count("tasks_failed")
            failed.append({"itemIdentifier": record["messageId"]})
            continue
        metrics.count(f"tasks_{outcome}")
        # The next plan lists a task that is busy and does not become done.
        log.info("task", extra={"task": record["body"], "outcome": str(outcome), **compactor.counts})
    metrics.counts.update(compactor.counts)
    return {"batchItemFailures": failed}
