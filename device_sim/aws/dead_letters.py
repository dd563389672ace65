"""The dead-letter queues of an account's stack, in hand."""

from __future__ import annotations

from cloud_functions.adapters.sqs import SqsDeadLetterQueue, SqsSender
from cloud_functions.adapters.stream_ranges import StreamReplay
from cloud_functions.core.deadletters import LANES, Box, Review
from device_sim.aws.store import Account

HIDE_S = 30
"""How long a letter that is looked at stays hidden from others, should whoever looks die."""
REDRIVE_HIDE_S = 120
"""Enough for what is redriven at once."""

_OUTPUTS = {
    Box.INGEST: "IngestDeadLettersUrl",
    Box.RULES: "RuleDeadLettersUrl",
    Box.ALERTING: "AlertingDeadLettersUrl",
}


def review(account: Account, hide_s: int = HIDE_S) -> Review:
    """Return a look at all dead letters of the stack."""
    sqs = account.client("sqs")
    return Review({box: SqsDeadLetterQueue(account.outputs[name], sqs) for box, name in _OUTPUTS.items()}, hide_s)


def queues(account: Account) -> dict[str, str]:
    """Return the URLs of the queues that letters go back to, by lane."""
    return {str(lane): account.outputs[f"{lane.capitalize()}QueueUrl"] for lane in LANES}


def sender(account: Account) -> SqsSender:
    """Return what sends to them."""
    return SqsSender(account.client("sqs"))


def replay(account: Account) -> StreamReplay:
    """Return what gives alerting a stretch of a stream again."""
    function = account.outputs["AlertingFunctionName"]
    return StreamReplay(account.client("dynamodbstreams"), account.client("lambda"), function)
