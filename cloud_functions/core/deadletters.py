"""Dead letters: what they are, why they are there, and their way back into the queue they came from.

Three queues have them. Ingest keeps the batches that it rejects in its own, each with the reason, and SQS moves there
what ingest failed on five times. What a topic rule could not hand to its queue is in the rules' queue, in the form of
IoT Core's error action (https://docs.aws.amazon.com/iot/latest/developerguide/rule-error-handling.html). Which stretch
of a stream alerting gave up on is in alerting's queue, in the form of Lambda's failure destination; that is no batch
and has no queue to go back to, but for 24 hours the stream still has it, and the function can be given it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from cloud_functions.core.arrival import read_envelope
from cloud_functions.core.errors import NoWayBackError, RejectError, StoreError
from cloud_functions.core.ports import Letter, LetterBox, Replay, Sender, Stretch
from wire import topics
from wire.errors import ModelError
from wire.topics import Lane

LANES = (Lane.URGENT, Lane.BULK)
"""Those that have a queue."""


class Box(StrEnum):
    """Which of the stack's dead-letter queues."""

    INGEST = "ingest"
    RULES = "rules"
    ALERTING = "alerting"


@dataclass(frozen=True, slots=True)
class Content:
    """What a dead letter is: ``data`` is the batch as its gateway sent it, None where the text holds none.

    ``reason`` is one of ingest's (see cloud_functions.core.errors), or ``failed`` (ingest tried in vain), ``rule`` (the
    rule could not hand it over) or ``stream`` (alerting gave up). ``problem`` tells why there is no ``data``.
    """

    reason: str
    detail: str
    gateway: str
    topic: str
    client: str
    received_ms: int | None
    data: bytes | None
    problem: str


def read(box: Box, letter: Letter) -> Content:
    """Return what a dead letter is, whatever it holds."""
    if box is Box.ALERTING:
        return _of_stream(letter)
    if box is Box.RULES:
        return _of_rule(letter)
    attributes = letter.attributes
    if "reason" in attributes:
        reason, detail = attributes["reason"], attributes.get("detail", "")
    else:
        reason, detail = "failed", "ingest failed on it each time that the queue brought it: see its log"
    return _of_envelope(letter.body, reason, detail, attributes.get("gateway", ""))


def _of_envelope(body: str, reason: str, detail: str, gateway: str) -> Content:
    try:
        envelope = read_envelope(body)
    except RejectError as error:
        return Content(reason, detail, gateway, "", "", None, None, error.detail)
    topic = f"strandline/v1/{envelope.gateway}/{envelope.lane}"
    return Content(reason, detail, envelope.gateway, topic, envelope.client, envelope.received_ms, envelope.data, "")


def _of_rule(letter: Letter) -> Content:
    try:
        failures = "; ".join(
            f"{failure.get('failedAction')} {failure.get('failedResource')}: {failure.get('errorMessage')}"
            for failure in json.loads(letter.body)["failures"]
        )
        body = _envelope_of_rule(letter)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        problem = f"no error action of a rule: {type(error).__name__}: {str(error)[:300]}"
        return Content("rule", "", "", "", "", None, None, problem)
    return _of_envelope(body, "rule", failures, "")


def _envelope_of_rule(letter: Letter) -> str:
    """Return what the rule would have sent; the publisher's certificate and the moment of arrival are not told."""
    told: Any = json.loads(letter.body)
    topic = str(told["topic"])
    if topic.startswith("$aws/rules/"):
        topic = topic.split("/", 3)[3]
    fields = {"data": told["base64OriginalPayload"], "topic": topic, "client": str(told.get("clientId", ""))}
    return json.dumps(fields | {"principal": "", "received_at": letter.sent_ms})


def _of_stream(letter: Letter) -> Content:
    problem = "it names a stretch of a table's stream and holds no batch"
    try:
        told: Any = json.loads(letter.body)
        stretch = told["DDBStreamBatchInfo"]
        table = str(stretch["streamArn"]).split("/")[1]
        detail = f"{told['requestContext']['condition']}: {stretch['batchSize']} changes of {table}"
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        return Content("stream", f"unknown form: {type(error).__name__}", "", "", "", None, None, problem)
    return Content("stream", detail, "", "", "", None, None, problem)


def stretch_of(letter: Letter) -> Stretch:
    """Return which stretch of a stream alerting gave up on; raises NoWayBackError where the letter does not tell."""
    try:
        told: Any = json.loads(letter.body)["DDBStreamBatchInfo"]
        first, last = str(told["startSequenceNumber"]), str(told["endSequenceNumber"])
        if int(first) > int(last):
            raise ValueError(f"from {first:.40} to {last:.40}")
        return Stretch(str(told["streamArn"]), str(told["shardId"]), first, last)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        text = f"it names no stretch of a stream: {type(error).__name__}: {str(error)[:200]}"
        raise NoWayBackError(text) from error


def way_back(box: Box, letter: Letter, queues: Mapping[str, str]) -> tuple[str, str]:
    """Return the queue's URL and the text to put there.

    ``queues`` are the URLs by lane. Where the letter does not tell which queue it came from, its topic's lane does.
    Raises NoWayBackError.
    """
    if box is Box.ALERTING:
        raise NoWayBackError("it names a stretch of a table's stream, which came from no queue")
    source = (letter.attributes.get("source") or letter.source).rsplit(":", 1)[-1]
    for url in queues.values():
        if source and url.rsplit("/", 1)[-1] == source:
            return url, letter.body
    if source:
        raise NoWayBackError(f"it came from the queue {source}, which is none of this stack's")
    body = letter.body
    if box is Box.RULES:
        try:
            body = _envelope_of_rule(letter)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise NoWayBackError(f"no error action of a rule: {type(error).__name__}: {str(error)[:200]}") from error
    lane = _lane(body)
    if lane not in queues:
        raise NoWayBackError("neither it nor its topic tells which queue it came from")
    return queues[lane], body


def _lane(body: str) -> str:
    try:
        topic = json.loads(body)["topic"]
        topics.gateway_of(topic)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ModelError):
        return ""
    return str(topic).rsplit("/", 1)[1]


@dataclass(frozen=True, slots=True)
class Held:
    """A dead letter in hand, and which queue has it."""

    box: Box
    letter: Letter


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a redriven letter: an empty ``problem`` is success; ``sent`` tells whether its queue has it."""

    held: Held
    sent: bool
    problem: str


class Review:
    """Dead letters in hand. A context manager: at its end all that were not redriven are shown to others again.

    SQS has no way to look without taking: a letter that is received is hidden from everybody else for ``hide_s``
    seconds, or until this is over. Whoever dies on the way leaves them to come back by themselves.
    """

    def __init__(self, boxes: Mapping[Box, LetterBox], hide_s: int) -> None:
        self._boxes, self._hide_s = boxes, hide_s
        self._held: dict[tuple[Box, str], Held] = {}

    @property
    def letters(self) -> list[Held]:
        """All that are in hand, the oldest first."""
        return sorted(self._held.values(), key=lambda held: (held.letter.sent_ms, held.box, held.letter.id))

    def collect(self, limit: int) -> bool:
        """Take letters in hand, ``limit`` or a few more; return whether more may wait."""
        for box, letters in self._boxes.items():
            while True:
                if len(self._held) >= limit:
                    return True
                received = letters.receive(self._hide_s)
                known = [(box, letter.id) in self._held for letter in received]
                # One that comes a second time gets a new handle, and only that one counts.
                self._held.update({(box, letter.id): Held(box, letter) for letter in received})
                if all(known):
                    break
        return False

    def find(self, beginning: str) -> list[Held]:
        """Return the letters whose id begins so."""
        return [held for held in self.letters if held.letter.id.startswith(beginning)]

    def redrive(self, held: Held, queues: Mapping[str, str], sender: Sender, replay: Replay) -> Outcome:
        """Send a letter back to where it came from, and delete it only when it is there.

        What alerting gave up on is given to it again at once, and deleted when it has taken it.

        Whatever happens between the two leaves it in both queues, which is harmless: a batch is stored once.
        """
        letter = held.letter
        try:
            if held.box is Box.ALERTING:
                replay.replay(stretch_of(letter))
            else:
                sender.send(*way_back(held.box, letter, queues))
        except (NoWayBackError, StoreError) as error:
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


def _release(letters: LetterBox, handles: Sequence[str]) -> None:
    try:
        letters.release(handles)
    except StoreError:
        # They come back by themselves when they have been hidden long enough.
        return


def counted(contents: Iterable[Content]) -> dict[str, int]:
    """Return how many there are of each reason."""
    reasons = [content.reason for content in contents]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def payload(letter: Letter, content: Content) -> bytes:
    """Return the bytes to look at: the batch's, or else the text as it came."""
    return content.data if content.data is not None else letter.body.encode()
