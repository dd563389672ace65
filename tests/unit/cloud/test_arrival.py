"""Envelopes: those of the topic rule are accepted, others are rejected with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud_functions.core.arrival import open_envelope, read_envelope
from cloud_functions.core.errors import Reason, RejectError
from tests.unit.cloud.fakes import NOW_MS, aggregates, body
from wire.model import Batch

BATCH = Batch("gw-1", 7, 1, aggregates())


def test_a_batch_is_read_from_its_envelope_with_gateway_lane_and_arrival_time() -> None:
    arrival = open_envelope(read_envelope(body(BATCH, "urgent")), check_client=True)
    assert (arrival.name.gateway, arrival.name.epoch, arrival.name.sequence) == ("gw-1", 7, 1)
    assert (arrival.envelope.lane, arrival.envelope.received_ms) == ("urgent", NOW_MS)
    assert len(arrival.digest) == 16


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        body(BATCH, data="not base64!"),
        body(BATCH, data=5),
        body(BATCH, topic="strandline/v2/gw-1/bulk"),
        body(BATCH, topic="strandline/v1/gw 1/bulk"),
        body(BATCH, topic=None),
        body(BATCH, received_at="now"),
        body(BATCH, received_at=True),
        body(BATCH, received_at=-1),
    ],
)
def test_an_invalid_envelope_is_rejected(text: str) -> None:
    with pytest.raises(RejectError) as caught:
        read_envelope(text)
    assert caught.value.reason is Reason.ENVELOPE


def test_an_invalid_batch_is_rejected_with_the_codecs_reason() -> None:
    with pytest.raises(RejectError, match="codec: MagicError") as caught:
        open_envelope(read_envelope(body(BATCH, data="AAAA")), check_client=True)
    assert caught.value.reason is Reason.CODEC


def test_a_batch_on_the_topic_of_another_gateway_is_rejected() -> None:
    envelope = read_envelope(body(BATCH, topic="strandline/v1/gw-2/bulk"))
    with pytest.raises(RejectError, match="the batch names gw-1, the topic gw-2") as caught:
        open_envelope(envelope, check_client=False)
    assert caught.value.reason is Reason.GATEWAY


@pytest.mark.parametrize("client", ["gw-1", "gw-1#2", "N/A", "", None, 7])
def test_the_client_ids_of_the_gateway_are_accepted(client: Any) -> None:
    assert open_envelope(read_envelope(body(BATCH, client=client)), check_client=True).name.gateway == "gw-1"


@pytest.mark.parametrize("client", ["gw-2", "gw-12", "#gw-1", "gw-1 "])
def test_another_client_id_is_rejected_when_it_is_checked(client: str) -> None:
    envelope = read_envelope(body(BATCH, client=client))
    with pytest.raises(RejectError, match=r"published for gw-1"):
        open_envelope(envelope, check_client=True)
    assert open_envelope(envelope, check_client=False).name.gateway == "gw-1"


def test_the_reason_of_a_rejection_is_at_most_one_line() -> None:
    with pytest.raises(RejectError) as caught:
        read_envelope(json.dumps({"data": "", "topic": "x" * 100_000, "received_at": 1}))
    assert len(str(caught.value)) < 500


def test_an_arrival_time_of_0_is_accepted() -> None:
    assert read_envelope(body(BATCH, received_at=0)).received_ms == 0
