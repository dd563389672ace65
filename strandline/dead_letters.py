"""Access to the dead-letter queues of a stack."""

from __future__ import annotations

from cloud_functions.adapters.rule_errors import of_error_action
from cloud_functions.adapters.sqs import SqsDeadLetterQueue, SqsDeadLetterQueues, SqsSender, queue
from cloud_functions.adapters.stream_ranges import StreamReplay, of_failure
from cloud_functions.core.deadletters import LANES, Box, Review, of_delivery
from cloud_functions.core.ports import DeadLetterQueue, Queue
from device_sim.aws.store import Account

HIDE_S = 30
"""Visibility timeout while letters are listed: the time for which they stay hidden if the process is killed."""
REDRIVE_HIDE_S = 120
"""Visibility timeout during a redrive."""

_OUTPUTS = {
    Box.INGEST: ("IngestDeadLettersUrl", None),
    Box.RULES: ("RuleDeadLettersUrl", of_error_action),
    Box.ALERTING: ("AlertingDeadLettersUrl", of_failure),
}
"""Output of the stack with the URL of each queue, and the conversion of its letters."""


_CHANNELS = ("Sns", "Email", "Webhook", "EventBridge", "Mqtt", "StepFunctions")
"""Beginnings of the outputs with the queues of the channels, by type."""


def review(account: Account, hide_s: int) -> Review:
    """Return access to all dead letters of the stack."""
    sqs = account.client("sqs")
    boxes: dict[Box, DeadLetterQueue] = {
        box: SqsDeadLetterQueue(account.outputs[name], sqs, convert) for box, (name, convert) in _OUTPUTS.items()
    }
    boxes[Box.CHANNELS] = SqsDeadLetterQueues(
        [SqsDeadLetterQueue(account.outputs[f"{name}DeadLettersUrl"], sqs, of_delivery) for name in _CHANNELS]
    )
    return Review(boxes, hide_s)


def queues(account: Account) -> dict[str, Queue]:
    """Return the redrive targets, by lane and type of channel."""
    names = {str(lane): lane.capitalize() for lane in LANES} | {name.lower(): name for name in _CHANNELS}
    return {key: queue(account.outputs[f"{name}QueueUrl"]) for key, name in names.items()}


def sender(account: Account) -> SqsSender:
    """Return the sender to the redrive targets."""
    return SqsSender(account.client("sqs"))


def replay(account: Account) -> StreamReplay:
    """Return the replay of stream ranges to the alerting function."""
    function = account.outputs["AlertingFunctionName"]
    return StreamReplay(account.client("dynamodbstreams"), account.client("lambda"), function)
