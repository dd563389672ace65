"""Dead letters: their description, and redriving without loss at any interruption."""

from __future__ import annotations

import base64
import contextlib
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core.deadletters import Box, Review, counted, payload, read, redrive_target, stream_range_of
from cloud_functions.core.errors import NoRedriveTargetError, StoreError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.ports import DeadLetter, StreamRange
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
QUEUES = {"urgent": "https://sqs/123456789012/urgent-queue-abc", "bulk": "https://sqs/123456789012/bulk-queue-def"}
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
    return letter(json.dumps(told))


def test_the_dead_letter_of_a_rejected_batch_has_its_reason_and_bytes() -> None:
    content = read(Box.INGEST, letter(body(BATCH, "urgent"), reason="time", detail="a row of 1969", gateway="gw-1"))
    assert (content.reason, content.detail, content.gateway) == ("time", "a row of 1969", "gw-1")
    assert (content.topic, content.client, content.received_ms) == ("strandline/v1/gw-1/urgent", "gw-1", NOW_MS)
    assert content.data == codec.encode(BATCH)


def test_a_dead_letter_of_the_queue_has_the_reason_that_ingest_failed() -> None:
    content = read(Box.INGEST, letter(body(BATCH), source=URGENT_ARN))
    assert (content.reason, content.gateway, content.data) == ("failed", "gw-1", codec.encode(BATCH))


def test_an_invalid_envelope_is_shown_unchanged_with_the_reason() -> None:
    foreign = letter('{"data": "!"}', reason="envelope", detail="no base64")
    content = read(Box.INGEST, foreign)
    assert (content.data, payload(foreign, content)) == (None, b'{"data": "!"}')
    assert "Error" in content.problem


def test_a_failed_rule_action_is_shown_as_a_batch_with_the_error_of_the_rule() -> None:
    content = read(Box.RULES, of_rule())
    assert (content.reason, content.detail) == ("rule", "SqsAction https://q: no such queue")
    assert (content.gateway, content.data) == ("gw-1", codec.encode(BATCH))
    assert read(Box.RULES, letter("[]")).problem.startswith("not an error action")


def test_a_stream_range_is_shown_without_a_batch() -> None:
    content = read(Box.ALERTING, letter(json.dumps(STREAM_RANGE)))
    assert (content.reason, content.detail) == ("stream", "RetryAttemptsExhausted: 3 changes of telemetry")
    assert content.data is None


def test_a_dead_letter_is_redriven_to_its_recorded_queue() -> None:
    for one in (
        letter(body(BATCH, "bulk"), source=URGENT_ARN),
        letter("{", source="", reason="x")._replace(attributes={"source": URGENT_ARN, "reason": "envelope"}),
    ):
        assert redrive_target(Box.INGEST, one, QUEUES) == (QUEUES["urgent"], one.body)


def test_a_dead_letter_without_a_queue_is_redriven_by_its_topic() -> None:
    assert redrive_target(Box.INGEST, letter(body(BATCH, "bulk")), QUEUES) == (QUEUES["bulk"], body(BATCH, "bulk"))


@pytest.mark.parametrize("prefix", ["", "$aws/rules/strandline_urgent/"])
def test_a_failed_rule_action_is_redriven_as_the_envelope_of_the_rule(prefix: str) -> None:
    url, text = redrive_target(Box.RULES, of_rule(f"{prefix}strandline/v1/gw-1/urgent"), QUEUES)
    assert (url, json.loads(text)) == (QUEUES["urgent"], json.loads(body(BATCH, "urgent")) | {"principal": ""})


@pytest.mark.parametrize(
    ("box", "given_letter", "message"),
    [
        (Box.ALERTING, letter(json.dumps(STREAM_RANGE)), "which does not come from a queue"),
        (Box.INGEST, letter("{", reason="envelope"), "neither the letter nor its topic"),
        (Box.INGEST, letter(body(BATCH, "backfill")), "neither the letter nor its topic"),
        (Box.INGEST, letter(body(BATCH), source="arn:aws:sqs:r:1:other"), "the queue other, which does not belong"),
        (Box.RULES, letter("{}"), "not an error action: KeyError"),
        (Box.RULES, of_rule("$aws/rules/x"), "not an error action: IndexError"),
    ],
)
def test_a_dead_letter_that_cannot_be_redriven_has_a_reason(box: Box, given_letter: DeadLetter, message: str) -> None:
    with pytest.raises(NoRedriveTargetError, match=message):
        redrive_target(box, given_letter, QUEUES)


@given(
    st.sampled_from(list(Box)),
    st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps),
)
def test_any_text_is_shown_and_is_redriven_or_has_a_reason(box: Box, text: str) -> None:
    one = letter(text)
    assert read(box, one).reason
    with contextlib.suppress(NoRedriveTargetError):
        assert redrive_target(box, one, QUEUES)[0] in QUEUES.values()


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
        assert counted(read(held.box, held.letter) for held in review.letters) == {"time": 25}
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
    assert sender.sent == [(QUEUES["bulk"], bodies(2)[1])]
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
    box.put(json.dumps(STREAM_RANGE), NOW_MS)
    replay = FakeReplay(refuse=StoreError("the function failed on it again"))
    with Review({Box.ALERTING: box}, 30) as review:
        review.collect(100)
        outcome = review.redrive(review.letters[0], QUEUES, FakeSender(), replay)
        assert (outcome.sent, outcome.problem) == (False, "the function failed on it again")
        assert len(box.letters) == 1
        replay.refuse = None
        assert review.redrive(review.letters[0], QUEUES, FakeSender(), replay).sent
    assert replay.given == [StreamRange("arn:aws:dynamodb:r:1:table/telemetry/stream/x", "shard-1", "100", "102")]
    assert box.letters == []


@pytest.mark.parametrize("text", ["{}", "[]", "{", json.dumps({"DDBStreamBatchInfo": {"startSequenceNumber": "x"}})])
def test_a_dead_letter_without_a_stream_range_stays_and_is_reported(text: str) -> None:
    with pytest.raises(NoRedriveTargetError, match="does not refer to a range"):
        stream_range_of(letter(text))


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
    assert redrive_target(Box.INGEST, letter(text)._replace(attributes=attributes), QUEUES) == (QUEUES["urgent"], "{")
