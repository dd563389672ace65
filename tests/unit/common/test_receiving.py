"""Batches are decoded in every format; those that a component cannot use are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_components.common import aggregates_message, batch_message, readings_message
from edge_components.common.receiving import BatchReceiver
from tests.fakes import fake_runtime
from wire import codec
from wire.errors import DecodeError, TooLargeError
from wire.model import Aggregates, Anomalies, Batch, Notice, Readings, Rows, Series

READINGS = Readings((Series("a"),), np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1), np.zeros(1, np.uint8))
AGGREGATES = Aggregates((Series("a"),), *np.zeros((4, 1), np.int64), *np.zeros((5, 1)))
ROWS: list[Rows] = [READINGS, AGGREGATES, Anomalies(()), Notice(1, {"Forwarder": {"errors": 1}})]


@pytest.mark.parametrize("rows", ROWS)
def test_a_batch_of_any_kind_is_decoded(rows: Rows) -> None:
    for encode in (batch_message.encode, codec.encode):
        found = batch_message.decode(encode(Batch("gw-test", 7, 3, rows), 7_000))
        assert (found.gateway, found.epoch, found.sequence) == ("gw-test", 7, 3)
        assert (type(found.rows), len(found.rows)) == (type(rows), len(rows))


def test_readings_and_aggregates_have_their_own_formats() -> None:
    assert batch_message.encode(Batch("gw", 1, 1, READINGS)).startswith(readings_message.MAGIC)
    assert batch_message.encode(Batch("gw", 1, 1, AGGREGATES)).startswith(aggregates_message.MAGIC)
    with pytest.raises(TooLargeError):
        batch_message.encode(Batch("gw", 1, 1, READINGS), 10)
    with pytest.raises(DecodeError):
        batch_message.decode(b"SLX1 unknown magic")


def test_only_unreadable_and_foreign_batches_have_no_name_to_acknowledge(tmp_path: Path) -> None:
    runtime, _, _ = fake_runtime(tmp_path)
    receiver = BatchReceiver[Aggregates | Anomalies]("topic", "gw-test", (Aggregates, Anomalies), runtime.limited_log)
    expected = receiver.receive(batch_message.encode(Batch("gw-test", 1, 1, AGGREGATES)))
    assert expected is not None
    assert isinstance(expected[1], Aggregates)
    unexpected = receiver.receive(batch_message.encode(Batch("gw-test", 1, 2, READINGS)))
    assert unexpected is not None
    assert (unexpected[0].sequence, unexpected[1]) == (2, None)
    assert receiver.receive(batch_message.encode(Batch("gw-other", 1, 3, AGGREGATES))) is None
    assert receiver.receive(b"rubbish") is None
    counted = {"batches_unexpected": 1, "batches_foreign": 1, "batches_unreadable": 1}
    assert runtime.counters.snapshot() == counted
