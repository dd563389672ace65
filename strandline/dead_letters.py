"""Access to the dead-letter queues of a stack."""

from __future__ import annotations

from cloud_functions.adapters.sqs import SqsDeadLetterQueue, SqsSender
from cloud_functions.adapters.stream_ranges import StreamReplay
from cloud_functions.core.deadletters import LANES, Box, Review
from device_sim.aws.store import Account

HIDE_S = 30
"""Visibility timeout while letters are listed: the time for which they stay hidden if the process is killed."""
REDRIVE_HIDE_S = 120
"""Visibility timeout during a redrive."""

_OUTPUTS = {
    Box.INGEST: "IngestDeadLettersUrl",
    Box.RULES: "RuleDeadLettersUrl",
    Box.ALERTING: "AlertingDeadLettersUrl",
}


def review(account: Account, hide_s: int) -> Review:
    """Return access to all dead letters of the stack."""
    sqs = account.client("sqs")
    return Review({box: SqsDeadLetterQueue(account.outputs[name], sqs) for box, name in _OUTPUTS.items()}, hide_s)


def queues(account: Account) -> dict[str, str]:
    """Return the URLs of the redrive targets, by lane."""
    return {str(lane): account.outputs[f"{lane.capitalize()}QueueUrl"] for lane in LANES}


def sender(account: Account) -> SqsSender:
    """Return the sender to the redrive targets."""
    return SqsSender(account.client("sqs"))


def replay(account: Account) -> StreamReplay:
    """Return the replay of stream ranges to the alerting function."""
    function = account.outputs["AlertingFunctionName"]
    return StreamReplay(account.client("dynamodbstreams"), account.client("lambda"), function)
