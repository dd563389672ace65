"""Dead letters: their content, the reason for each, and redriving them to the queue they came from.

There are three dead-letter queues. Ingest's holds rejected batches, each with the reason, and messages that SQS moved
there after ingest failed on them five times. The rules' queue holds messages that a topic rule could not deliver, in
the format of IoT Core's error action (https://docs.aws.amazon.com/iot/latest/developerguide/rule-error-handling.html).
Alerting's queue holds ranges of a table's stream that the function failed on, in the format of Lambda's failure
destination; such a range is not a batch and has no source queue, but the stream keeps it for 24 hours and the function
can be invoked with it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from cloud_functions.core.arrival import read_envelope
from cloud_functions.core.errors import NoRedriveTargetError, RejectError, StoreError
from cloud_functions.core.ports import DeadLetter, DeadLetterQueue, Replay, Sender, StreamRange
from wire import topics
from wire.errors import ModelError
from wire.topics import Lane

LANES = (Lane.URGENT, Lane.BULK)
"""Lanes with a queue of their own."""


class Box(StrEnum):
    """Dead-letter queues of a stack."""

    INGEST = "ingest"
    RULES = "rules"
    ALERTING = "alerting"


@dataclass(frozen=True, slots=True)
class Content:
    """Parsed dead letter; ``data`` is the batch as its gateway sent it, or None if the text does not contain one.

    ``reason`` is one of ingest's (see cloud_functions.core.errors), or ``failed`` (ingest failed repeatedly), ``rule``
    (the rule could not deliver it) or ``stream`` (alerting failed). ``problem`` explains a missing ``data``.
    """

    reason: str
    detail: str
    gateway: str
    topic: str
    client: str
    received_ms: int | None
    data: bytes | None
    problem: str


def read(box: Box, letter: DeadLetter) -> Content:
    """Return the parsed dead letter; any text is accepted."""
    if box is Box.ALERTING:
        return _of_stream(letter)
    if box is Box.RULES:
        return _of_rule(letter)
    attributes = letter.attributes
    if "reason" in attributes:
        reason, detail = attributes["reason"], attributes.get("detail", "")
    else:
        reason, detail = "failed", "ingest failed on each delivery: see its log"
    return _of_envelope(letter.body, reason, detail, attributes.get("gateway", ""))


def _of_envelope(body: str, reason: str, detail: str, gateway: str) -> Content:
    try:
        envelope = read_envelope(body)
    except RejectError as error:
        return Content(reason, detail, gateway, "", "", None, None, error.detail)
    topic = topics.published(envelope.gateway, envelope.lane)
    return Content(reason, detail, envelope.gateway, topic, envelope.client, envelope.received_ms, envelope.data, "")


def _of_rule(letter: DeadLetter) -> Content:
    try:
        failures = "; ".join(
            f"{failure.get('failedAction')} {failure.get('failedResource')}: {failure.get('errorMessage')}"
            for failure in json.loads(letter.body)["failures"]
        )
        body = _envelope_of_rule(letter)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        problem = f"not an error action: {type(error).__name__}: {str(error)[:300]}"
        return Content("rule", "", "", "", "", None, None, problem)
    return _of_envelope(body, "rule", failures, "")


def _envelope_of_rule(letter: DeadLetter) -> str:
    """Return the message of the rule; an error action lacks the publisher's certificate and the arrival time."""
    failure: Any = json.loads(letter.body)
    topic = str(failure["topic"])
    if topic.startswith("$aws/rules/"):
        topic = topic.split("/", 3)[3]
    fields = {"data": failure["base64OriginalPayload"], "topic": topic, "client": str(failure.get("clientId", ""))}
    return json.dumps(fields | {"principal": "", "received_at": letter.sent_ms})


def _of_stream(letter: DeadLetter) -> Content:
    problem = "it refers to a range of a table's stream and does not contain a batch"
    try:
        failure: Any = json.loads(letter.body)
        stream_range = failure["DDBStreamBatchInfo"]
        table = str(stream_range["streamArn"]).split("/")[1]
        detail = f"{failure['requestContext']['condition']}: {stream_range['batchSize']} changes of {table}"
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        return Content("stream", f"unknown form: {type(error).__name__}", "", "", "", None, None, problem)
    return Content("stream", detail, "", "", "", None, None, problem)


def stream_range_of(letter: DeadLetter) -> StreamRange:
    """Return the range of a stream that alerting failed on; raises NoRedriveTargetError for another letter."""
    try:
        info: Any = json.loads(letter.body)["DDBStreamBatchInfo"]
        first, last = str(info["startSequenceNumber"]), str(info["endSequenceNumber"])
        if int(first) > int(last):
            raise ValueError(f"from {first:.40} to {last:.40}")
        return StreamRange(str(info["streamArn"]), str(info["shardId"]), first, last)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        text = f"it does not refer to a range of a stream: {type(error).__name__}: {str(error)[:200]}"
        raise NoRedriveTargetError(text) from error


def redrive_target(box: Box, letter: DeadLetter, queues: Mapping[str, str]) -> tuple[str, str]:
    """Return the URL of the source queue and the text to send to it.

    ``queues`` are the URLs by lane. If the letter does not name its source queue, the lane of its topic is used.
    Raises NoRedriveTargetError.
    """
    if box is Box.ALERTING:
        raise NoRedriveTargetError("it refers to a range of a table's stream, which does not come from a queue")
    source = (letter.attributes.get("source") or letter.source).rsplit(":", 1)[-1]
    for url in queues.values():
        if source and url.rsplit("/", 1)[-1] == source:
            return url, letter.body
    if source:
        raise NoRedriveTargetError(f"it came from the queue {source}, which does not belong to this stack")
    body = letter.body
    if box is Box.RULES:
        try:
            body = _envelope_of_rule(letter)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise NoRedriveTargetError(f"not an error action: {type(error).__name__}: {str(error)[:200]}") from error
    lane = _lane(body)
    if lane not in queues:
        raise NoRedriveTargetError("neither the letter nor its topic names the source queue")
    return queues[lane], body


def _lane(body: str) -> str:
    try:
        topic = json.loads(body)["topic"]
        topics.gateway_of(topic)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ModelError):
        return ""
    return str(topic).rsplit("/", 1)[1]


@dataclass(frozen=True, slots=True)
class ReceivedLetter:
    """A received dead letter and its queue."""

    box: Box
    letter: DeadLetter


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of redriving a letter: success if ``problem`` is empty; ``sent`` is True if the queue accepted it."""

    held: ReceivedLetter
    sent: bool
    problem: str


class Review:
    """Received dead letters; a context manager that at its end releases those that were not redriven.

    SQS cannot read without receiving: a received letter is hidden from other receivers for ``hide_s`` seconds, or until
    the review ends. After a crash the letters become visible again when this time has passed.
    """

    def __init__(self, boxes: Mapping[Box, DeadLetterQueue], hide_s: int) -> None:
        self._boxes, self._hide_s = boxes, hide_s
        self._held: dict[tuple[Box, str], ReceivedLetter] = {}

    @property
    def letters(self) -> list[ReceivedLetter]:
        """Received letters, oldest first."""
        return sorted(self._held.values(), key=lambda held: (held.letter.sent_ms, held.box, held.letter.id))

    def collect(self, limit: int) -> bool:
        """Receive letters, ``limit`` or a few more; return False when the queues have no more."""
        for box, letters in self._boxes.items():
            while True:
                if len(self._held) >= limit:
                    return True
                received = letters.receive(self._hide_s)
                known = [(box, letter.id) in self._held for letter in received]
                # A letter that is received again has a new handle, and only that one is valid.
                self._held.update({(box, letter.id): ReceivedLetter(box, letter) for letter in received})
                if all(known):
                    break
        return False

    def find(self, beginning: str) -> list[ReceivedLetter]:
        """Return the letters whose id has this prefix."""
        return [held for held in self.letters if held.letter.id.startswith(beginning)]

    def redrive(self, held: ReceivedLetter, queues: Mapping[str, str], sender: Sender, replay: Replay) -> Outcome:
        """Send a letter to its source queue, then delete it.

        A stream range is processed by alerting at once and deleted on success. A crash between the two steps leaves the
        letter in both queues, which is harmless: a batch is stored once.
        """
        letter = held.letter
        try:
            if held.box is Box.ALERTING:
                replay.replay(stream_range_of(letter))
            else:
                sender.send(*redrive_target(held.box, letter, queues))
        except (NoRedriveTargetError, StoreError) as error:
            return Outcome(held, False, str(error))
        try:
            self._boxes[held.box].delete(letter.handle)
        except StoreError as error:
            return Outcome(held, True, f"sent, but still among the dead letters: {error}")
        del self._held[held.box, letter.id]
        return Outcome(held, True, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for box, letters in self._boxes.items():
            handles = [held.letter.handle for held in self._held.values() if held.box is box]
            _release(letters, handles)


def _release(letters: DeadLetterQueue, handles: Sequence[str]) -> None:
    try:
        letters.release(handles)
    except StoreError:
        # They become visible again when their visibility timeout has passed.
        return


def counted(contents: Iterable[Content]) -> dict[str, int]:
    """Return the number of letters per reason."""
    reasons = [content.reason for content in contents]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def payload(letter: DeadLetter, content: Content) -> bytes:
    """Return the bytes of the batch, or of the text if it does not contain a batch."""
    return content.data if content.data is not None else letter.body.encode()
