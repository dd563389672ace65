"""Dead letters: their description, and redriving without loss at any interruption."""

from __future__ import annotations

import base64
import contextlib
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.adapters.rule_errors import of_error_action
from cloud_functions.adapters.sqs import SqsDeadLetterQueue, SqsDeadLetterQueues, queue
from cloud_functions.adapters.stream_ranges import StreamRange, of_failure, stream_range_of
from cloud_functions.core.deadletters import Box, Review, counted, of_delivery, payload, read, redrive_target
from cloud_functions.core.deliveries import Delivery
from cloud_functions.core.errors import NoRedriveTargetError, StoreError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.ports import DeadLetter
from cloud_functions.core.storing import Storer
from tests.unit.cloud.fakes import (
    NOW_MS,
    FakeAcknowledger,
    FakeDeadLetterQueue,
    FakeDeadLetterSink,
    FakeReplay,
    FakeSender,
    FakeTable,
    aggregates,
    body,
)
from wire import codec
from wire.model import Batch

URGENT_ARN = "arn:aws:sqs:us-east-1:123456789012:urgent-queue-abc"
URGENT, BULK = "https://sqs/123456789012/urgent-queue-abc", "https://sqs/123456789012/bulk-queue-def"
QUEUES = {"urgent": queue(URGENT), "bulk": queue(BULK)}
CONVERT = {
    Box.INGEST: lambda letter: letter,
    Box.RULES: of_error_action,
    Box.ALERTING: of_failure,
    Box.CHANNELS: of_delivery,
}
BATCH = Batch("gw-1", 7, 1, aggregates(1))
STREAM_RANGE = {
    "requestContext": {"condition": "RetryAttemptsExhausted"},
    "DDBStreamBatchInfo": {
        "batchSize": 3,
        "streamArn": "arn:aws:dynamodb:r:1:table/telemetry/stream/x",
        "shardId": "shard-1",
        "startSequenceNumber": "100",
        "endSequenceNumber": "102",
    },
}


def letter(text: str, source: str = "", **attributes: str) -> DeadLetter:
    return DeadLetter("id", "handle", text, attributes, NOW_MS, source)


def of_rule(topic: str = "strandline/v1/gw-1/urgent") -> DeadLetter:
    failure = {"failedAction": "SqsAction", "failedResource": "https://q", "errorMessage": "no such queue"}
    data = base64.b64encode(codec.encode(BATCH)).decode()
    told = {"ruleName": "r", "topic": topic, "clientId": "gw-1", "base64OriginalPayload": data, "failures": [failure]}
    return of_error_action(letter(json.dumps(told)))


def test_the_dead_letter_of_a_rejected_batch_has_its_reason_and_bytes() -> None:
    content = read(letter(body(BATCH, "urgent"), reason="time", detail="a row of 1969", gateway="gw-1"))
    assert (content.reason, content.detail, content.gateway) == ("time", "a row of 1969", "gw-1")
    assert (content.topic, content.client, content.received_ms) == ("strandline/v1/gw-1/urgent", "gw-1", NOW_MS)
    assert content.data == codec.encode(BATCH)


def test_a_dead_letter_of_the_queue_has_the_reason_that_ingest_failed() -> None:
    content = read(letter(body(BATCH), source="urgent-queue-abc"))
    assert (content.reason, content.gateway, content.data) == ("failed", "gw-1", codec.encode(BATCH))


def test_an_invalid_envelope_is_shown_unchanged_with_the_reason() -> None:
    foreign = letter('{"data": "!"}', reason="envelope", detail="no base64")
    content = read(foreign)
    assert (content.data, payload(foreign, content)) == (None, b'{"data": "!"}')
    assert "Error" in content.problem


def test_a_failed_rule_action_is_shown_as_a_batch_with_the_error_of_the_rule() -> None:
    content = read(of_rule())
    assert (content.reason, content.detail) == ("rule", "SqsAction https://q: no such queue")
    assert (content.gateway, content.data) == ("gw-1", codec.encode(BATCH))
    assert read(of_error_action(letter("[]"))).problem.startswith("not an error action")


def test_a_stream_range_is_shown_without_a_batch() -> None:
    content = read(of_failure(letter(json.dumps(STREAM_RANGE))))
    assert (content.reason, content.detail) == ("stream", "RetryAttemptsExhausted: 3 changes of telemetry")
    assert content.data is None


def test_a_dead_letter_is_redriven_to_its_recorded_queue() -> None:
    for one in (letter(body(BATCH, "bulk"), source="urgent-queue-abc"), letter("{", "urgent-queue-abc", reason="x")):
        assert redrive_target(one, QUEUES) == (URGENT, one.body)


class FakeSqs:
    """A queue of one message."""

    def __init__(self, attributes: dict[str, str], system: dict[str, str]) -> None:
        typed = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}
        self._message = {"MessageId": "m", "ReceiptHandle": "h", "Body": "{", "MessageAttributes": typed}
        self._message["Attributes"] = {"SentTimestamp": "5"} | system

    def receive_message(self, **_options: object) -> dict[str, object]:
        return {"Messages": [self._message]}


@pytest.mark.parametrize(
    ("attributes", "system"),
    [
        ({}, {"DeadLetterQueueSourceArn": URGENT_ARN}),
        ({"source": URGENT_ARN, "reason": "envelope"}, {}),
        ({"source": URGENT_ARN}, {"DeadLetterQueueSourceArn": "arn:aws:sqs:r:1:other"}),
    ],
)
def test_a_message_of_sqs_names_its_source_queue(attributes: dict[str, str], system: dict[str, str]) -> None:
    (received,) = SqsDeadLetterQueue("url", FakeSqs(attributes, system)).receive(30)
    assert (received.source, received.sent_ms, received.attributes) == ("urgent-queue-abc", 5, attributes)
    assert redrive_target(received, QUEUES) == (URGENT, "{")


def test_a_message_of_sqs_is_converted() -> None:
    (received,) = SqsDeadLetterQueue("url", FakeSqs({}, {}), of_error_action).receive(30)
    assert read(received).problem.startswith("not an error action")
    assert received.source == ""


def test_a_dead_letter_without_a_queue_is_redriven_by_its_topic() -> None:
    assert redrive_target(letter(body(BATCH, "bulk")), QUEUES) == (BULK, body(BATCH, "bulk"))


@pytest.mark.parametrize("prefix", ["", "$aws/rules/strandline_urgent/"])
def test_a_failed_rule_action_is_redriven_as_the_envelope_of_the_rule(prefix: str) -> None:
    url, text = redrive_target(of_rule(f"{prefix}strandline/v1/gw-1/urgent"), QUEUES)
    assert (url, json.loads(text)) == (URGENT, json.loads(body(BATCH, "urgent")) | {"principal": ""})


@pytest.mark.parametrize(
    ("given_letter", "reason"),
    [
        (letter("{", reason="envelope"), "neither the letter nor its topic"),
        (letter(body(BATCH, "backfill")), "neither the letter nor its topic"),
        (letter(body(BATCH), source="other"), "the queue other, which does not belong"),
        (of_error_action(letter("{}")), "not an error action: KeyError"),
        (of_rule("$aws/rules/x"), "not an error action: IndexError"),
    ],
)
def test_a_letter_that_cannot_be_redriven_has_a_reason(given_letter: DeadLetter, reason: str) -> None:
    with pytest.raises(NoRedriveTargetError, match=reason):
        redrive_target(given_letter, QUEUES)


@given(
    st.sampled_from(list(Box)),
    st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps),
)
def test_any_text_is_shown_and_either_redriven_or_rejected_with_a_reason(box: Box, text: str) -> None:
    one = CONVERT[box](letter(text))
    assert read(one).reason
    with contextlib.suppress(NoRedriveTargetError):
        assert redrive_target(one, QUEUES)[0] in (URGENT, BULK)


def boxes(*bodies: str) -> tuple[dict[Box, FakeDeadLetterQueue], FakeDeadLetterQueue]:
    box = FakeDeadLetterQueue()
    for at, text in enumerate(bodies):
        box.put(text, NOW_MS + at, reason="time")
    return {Box.INGEST: box, Box.RULES: FakeDeadLetterQueue()}, box


def bodies(n: int) -> list[str]:
    return [body(Batch("gw-1", 7, sequence, aggregates(sequence))) for sequence in range(1, n + 1)]


def test_inspection_hides_dead_letters_and_releases_them_at_its_end() -> None:
    all_boxes, box = boxes(*bodies(25))
    with Review(all_boxes, 30) as review:
        assert not review.collect(100)
        assert [held.letter.sent_ms - NOW_MS for held in review.letters] == list(range(25))
        assert len(box.hidden) == 25
        assert counted(read(held.letter) for held in review.letters) == {"time": 25}
    assert (len(box.letters), box.hidden) == (25, set())


def test_inspection_stops_at_its_limit_and_reports_that_there_are_more() -> None:
    all_boxes, box = boxes(*bodies(25))
    with Review(all_boxes, 30) as review:
        assert review.collect(10)
        assert len(review.letters) == 10
    assert box.hidden == set()


def test_a_dead_letter_received_twice_is_listed_once_with_its_newest_handle() -> None:
    all_boxes, box = boxes(*bodies(2))
    with Review(all_boxes, 30) as review:
        review.collect(100)
        box.hidden.clear()
        review.collect(100)
        assert len(review.letters) == 2
        assert review.redrive(review.letters[0], QUEUES, FakeSender(), FakeReplay()).problem == ""
    assert (len(box.letters), box.hidden) == (1, set())


def test_a_redriven_dead_letter_is_sent_and_then_deleted() -> None:
    all_boxes, box = boxes(*bodies(2))
    sender = FakeSender(before=lambda: pytest.fail("deleted first") if len(box.letters) < 2 else None)
    with Review(all_boxes, 30) as review:
        review.collect(100)
        (held,) = review.find("id-1")
        outcome = review.redrive(held, QUEUES, sender, FakeReplay())
        assert (outcome.sent, outcome.problem) == (True, "")
    assert sender.sent == [(BULK, bodies(2)[1])]
    assert ([one.id for one in box.letters], box.hidden) == (["id-0"], set())


def test_a_dead_letter_that_cannot_be_sent_stays_and_does_not_block_others() -> None:
    all_boxes, box = boxes("{", *bodies(1))
    sender = FakeSender()
    with Review(all_boxes, 30) as review:
        review.collect(100)
        outcomes = [review.redrive(held, QUEUES, sender, FakeReplay()) for held in review.letters]
    assert [(outcome.sent, bool(outcome.problem)) for outcome in outcomes] == [(False, True), (True, False)]
    assert [one.body for one in box.letters] == ["{"]


def test_a_dead_letter_stays_if_the_queue_rejects_it() -> None:
    all_boxes, box = boxes(*bodies(1))

    def down() -> None:
        raise StoreError("sqs is down")

    with Review(all_boxes, 30) as review:
        review.collect(100)
        outcome = review.redrive(review.letters[0], QUEUES, FakeSender(before=down), FakeReplay())
    assert (outcome.sent, outcome.problem, len(box.letters), box.hidden) == (False, "sqs is down", 1, set())


def test_a_dead_letter_that_is_sent_and_not_deleted_is_reported_and_stays() -> None:
    all_boxes, box = boxes(*bodies(1))
    box.refuse_delete = True
    with Review(all_boxes, 30) as review:
        review.collect(100)
        outcome = review.redrive(review.letters[0], QUEUES, FakeSender(), FakeReplay())
    assert outcome.sent
    assert "still among the dead letters" in outcome.problem
    assert (len(box.letters), box.hidden) == (1, set())


def test_an_interruption_after_the_send_loses_nothing_and_stores_nothing_twice() -> None:
    (text,) = bodies(1)
    all_boxes, box = boxes(text)
    sender = FakeSender()
    box.interrupt_delete = True
    with contextlib.suppress(KeyboardInterrupt), Review(all_boxes, 30) as review:
        review.collect(100)
        review.redrive(review.letters[0], QUEUES, sender, FakeReplay())
        pytest.fail("was not interrupted")
    assert (len(box.letters), box.hidden) == (1, set())
    table = FakeTable()
    storer = Storer(table, lambda: NOW_MS, 1_000)
    ingest = Ingest(table, storer, FakeAcknowledger(), FakeDeadLetterSink(), lambda: NOW_MS, logging.getLogger("test"))
    for at, (_, sent) in enumerate(sender.sent * 2):
        ingest.accept(str(at), sent)
    assert [item["rows"] for item in table.of_kind("batch")] == [12]


def test_a_stream_range_is_replayed_and_deleted_after_success() -> None:
    box = FakeDeadLetterQueue()
    box.put(json.dumps(STREAM_RANGE), NOW_MS, reason="stream")
    replay = FakeReplay(refuse=StoreError("the function failed on it again"))
    with Review({Box.ALERTING: box}, 30) as review:
        review.collect(100)
        outcome = review.redrive(review.letters[0], QUEUES, FakeSender(), replay)
        assert (outcome.sent, outcome.problem) == (False, "the function failed on it again")
        assert len(box.letters) == 1
        replay.refuse = None
        assert review.redrive(review.letters[0], QUEUES, FakeSender(), replay).sent
    assert replay.given == [json.dumps(STREAM_RANGE)]
    assert box.letters == []


@pytest.mark.parametrize("text", ["{}", "[]", "{", json.dumps({"DDBStreamBatchInfo": {"startSequenceNumber": "x"}})])
def test_a_dead_letter_without_a_stream_range_stays_and_is_reported(text: str) -> None:
    with pytest.raises(NoRedriveTargetError, match="does not refer to a range"):
        stream_range_of(text)


def test_a_letter_of_the_failure_destination_refers_to_a_range_of_the_stream() -> None:
    expected = StreamRange("arn:aws:dynamodb:r:1:table/telemetry/stream/x", "shard-1", "100", "102")
    assert stream_range_of(json.dumps(STREAM_RANGE)) == expected
    assert of_failure(letter("[]")).attributes["detail"] == "unknown form: TypeError"


def test_a_failed_release_at_the_end_is_ignored_because_visibility_expires() -> None:
    all_boxes, box = boxes(*bodies(1))
    box.refuse_release = True
    with Review(all_boxes, 30) as review:
        review.collect(100)
    assert len(box.letters) == 1


def test_ingest_records_the_queue_of_a_rejected_batch() -> None:
    letters, table = FakeDeadLetterSink(), FakeTable()
    storer = Storer(table, lambda: NOW_MS, 1_000)
    ingest = Ingest(table, storer, FakeAcknowledger(), letters, lambda: NOW_MS, logging.getLogger("test"))
    ingest.accept("m", "{", URGENT_ARN)
    ((text, attributes),) = letters.kept
    assert (text, attributes["source"]) == ("{", URGENT_ARN)


def test_the_dead_letter_of_a_channel_names_it_and_is_sent_to_the_queue_of_its_type() -> None:
    text = Delivery("ops", "gw-1", {"id": "e"}).to_json()
    found = of_delivery(letter(text, source="webhook-queue"))
    content = read(found)
    assert (content.reason, content.detail, content.gateway, content.data) == ("delivery", "channel ops", "gw-1", None)
    assert "does not contain a batch" in content.problem
    webhook = queue("https://sqs/1/webhook-queue")
    assert redrive_target(found, QUEUES | {"webhook": webhook}) == (webhook.address, text)
    with pytest.raises(NoRedriveTargetError, match="does not belong to this stack"):
        redrive_target(found, QUEUES)


def test_the_dead_letter_of_a_channel_that_is_not_a_delivery_has_the_error() -> None:
    content = read(of_delivery(letter("{", source="webhook-queue")))
    assert content.reason == "delivery"
    assert "not a delivery" in content.detail


class _ChannelSqs:
    """SQS with one message in each queue; it records what is deleted and released."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def receive_message(self, **request: object) -> dict[str, object]:
        name = str(request["QueueUrl"])[-1]
        message = {"MessageId": f"id-{name}", "ReceiptHandle": f"h:{name}", "Body": "{}"}
        return {"Messages": [message | {"Attributes": {"SentTimestamp": "1"}}]}

    def delete_message(self, **request: object) -> None:
        self.calls.append((str(request["QueueUrl"]), str(request["ReceiptHandle"])))

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, object]:  # noqa: N803
        self.calls += [(QueueUrl, entry["ReceiptHandle"]) for entry in Entries]
        return {}


def test_a_letter_of_several_queues_is_deleted_from_and_released_to_its_own() -> None:
    sqs = _ChannelSqs()
    both = SqsDeadLetterQueues([SqsDeadLetterQueue(f"https://sqs/1/{name}", sqs) for name in "ab"])
    first, second = both.receive(30)
    assert (first.id, second.id) == ("id-a", "id-b")
    both.delete(second.handle)
    both.release([first.handle])
    assert sqs.calls == [("https://sqs/1/b", "h:b"), ("https://sqs/1/a", "h:a")]
