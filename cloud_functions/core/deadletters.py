"""Dead letters: their content, the reason for each, and redriving them to the queue they came from.

There are three dead-letter queues, and one of each type of channel. Ingest's holds rejected batches, each with the
reason, and messages that were moved there after ingest failed on them repeatedly. The rules' queue holds messages that
could not be delivered to ingest's queues. Alerting's queue holds references to ranges of the table's change stream that
the function failed on; such a range is not a batch and has no source queue, but the stream keeps it for a day and the
function can process it again. The queues of the channels hold deliveries that a channel did not accept in all attempts.
The adapters convert the services' formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from cloud_functions.core.arrival import read_envelope
from cloud_functions.core.deliveries import Delivery, DeliveryError
from cloud_functions.core.errors import NoRedriveTargetError, RejectError, StoreError
from cloud_functions.core.ports import DeadLetter, DeadLetterQueue, Queue, Replay, Sender
from wire import topics
from wire.errors import ModelError
from wire.topics import Lane

LANES = (Lane.URGENT, Lane.BULK)
"""Lanes with a queue of their own."""

DELIVERY = "delivery"
"""Reason of a letter that a channel did not accept."""
STREAM = "stream"
"""Reason of a letter that refers to a range of a change stream."""

_STREAM_PROBLEM = "it refers to a range of a table's stream and does not contain a batch"


_DELIVERY_PROBLEM = "it is a delivery to a channel and does not contain a batch"


class Box(StrEnum):
    """Dead-letter queues of a stack."""

    INGEST = "ingest"
    RULES = "rules"
    ALERTING = "alerting"
    CHANNELS = "channels"


@dataclass(frozen=True, slots=True)
class Content:
    """Parsed dead letter; ``data`` is the batch as its gateway sent it, or None if the text does not contain one.

    ``reason`` is one of ingest's (see cloud_functions.core.errors), or ``failed`` (ingest failed repeatedly), ``rule``
    (the rule could not deliver it) or ``stream`` (alerting failed), or ``delivery`` (a channel failed).
    ``problem`` explains a missing ``data``.
    """

    reason: str
    detail: str
    gateway: str
    topic: str
    client: str
    received_ms: int | None
    data: bytes | None
    problem: str


def read(letter: DeadLetter) -> Content:
    """Return the parsed dead letter; any text is accepted."""
    attributes = letter.attributes
    reason, detail = attributes.get("reason", ""), attributes.get("detail", "")
    if not reason:
        reason, detail = "failed", "ingest failed on each delivery: see its log"
    if reason == DELIVERY:
        return Content(reason, detail, attributes.get("gateway", ""), "", "", None, None, _DELIVERY_PROBLEM)
    problem = _STREAM_PROBLEM if reason == STREAM else attributes.get("problem", "")
    if problem:
        return Content(reason, detail, "", "", "", None, None, problem)
    return _of_envelope(letter.body, reason, detail, attributes.get("gateway", ""))


def _of_envelope(body: str, reason: str, detail: str, gateway: str) -> Content:
    try:
        envelope = read_envelope(body)
    except RejectError as error:
        return Content(reason, detail, gateway, "", "", None, None, error.detail)
    topic = topics.published(envelope.gateway, envelope.lane)
    return Content(reason, detail, envelope.gateway, topic, envelope.client, envelope.received_ms, envelope.data, "")


def of_delivery(letter: DeadLetter) -> DeadLetter:
    """Return the dead letter of a channel's queue with its reason and the channel."""
    try:
        delivery = Delivery.from_json(letter.body)
    except DeliveryError as error:
        attributes = {"reason": DELIVERY, "detail": str(error)}
    else:
        attributes = {"reason": DELIVERY, "detail": f"channel {delivery.channel}", "gateway": delivery.gateway}
    return letter._replace(attributes=attributes)


def redrive_target(letter: DeadLetter, queues: Mapping[str, Queue]) -> tuple[str, str]:
    """Return the address of the source queue and the text to send to it.

    ``queues`` are the queues by lane. If the letter does not name its source queue, the lane of its topic is used.
    Raises NoRedriveTargetError.
    """
    if letter.attributes.get("problem"):
        raise NoRedriveTargetError(letter.attributes["problem"])
    if letter.source:
        for queue in queues.values():
            if queue.name == letter.source:
                return queue.address, letter.body
        raise NoRedriveTargetError(f"it came from the queue {letter.source}, which does not belong to this stack")
    lane = _lane(letter.body)
    if lane not in queues:
        raise NoRedriveTargetError("neither the letter nor its topic names the source queue")
    return queues[lane].address, letter.body


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

    A queue is read by receiving: a received letter is hidden from other receivers for ``hide_s`` seconds, or until the
    review ends. After a crash the letters become visible again when this time has passed.
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

    def redrive(self, held: ReceivedLetter, queues: Mapping[str, Queue], sender: Sender, replay: Replay) -> Outcome:
        """Send a letter to its source queue, then delete it.

        A stream range is processed by alerting at once and deleted on success. A crash between the two steps leaves the
        letter in both queues, which is harmless: a batch is stored once.
        """
        letter = held.letter
        try:
            if letter.attributes.get("reason") == STREAM:
                replay.replay(letter.body)
            else:
                sender.send(*redrive_target(letter, queues))
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
