"""Rows wait until they fill a batch, reach the maximum age, or are urgent."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.forwarder.batching import Batcher, Cause, FormedBatch, RejectedRows, Waiting
from tests.examples import examples
from wire import codec
from wire.errors import ModelError
from wire.model import AGGREGATE_COLUMNS, Aggregates, Anomalies, Anomaly, Notice, Phase, Series
from wire.topics import Lane

MAX = 5_000


def aggregates(windows: int, series: int = 4, start: int = 0, seed: int = 1) -> Aggregates:
    rng = np.random.default_rng(seed + start)
    n = windows * series
    index = np.tile(np.arange(series), windows)
    mean = rng.integers(0, 500, n) / 10
    return Aggregates(
        tuple(Series(f"pump.{i}", "Cel", 0.1) for i in range(series)),
        index.astype(np.int64),
        np.repeat(np.arange(start, start + windows), series).astype(np.int64) * 10_000,
        np.full(n, 10_000, np.int64),
        np.full(n, 10, np.int64),
        mean,
        mean - 1,
        mean + 1,
        np.full(n, 0.5),
        np.full(n, np.nan),
    )


def anomaly(cause: str = "level", size: int = 0) -> Anomaly:
    causes = {f"expert-{i}": 1.0 + i / 7 for i in range(size)}
    return Anomaly("pump.0", Phase.ONSET, 1, 2, 1.5, cause, causes=causes)


class Desk:
    """A batcher with an encoder that counts its calls."""

    def __init__(self, max_bytes: int = MAX, max_age_s: float = 60.0) -> None:
        self.encodings, self.refused = 0, list[RejectedRows]()
        self.batcher = Batcher(self.encode, max_bytes, max_age_s, self.refused.append)

    def encode(self, rows: Waiting) -> bytes:
        self.encodings += 1
        return codec.pack(rows)


def keys(groups: list[FormedBatch]) -> list[tuple[str, int]]:
    found = []
    for group in groups:
        assert isinstance(group.rows, Aggregates)
        pairs = zip(group.rows.series_index, group.rows.start_ms, strict=True)
        found += [(group.rows.series[i].name, int(t)) for i, t in pairs]
    return found


def test_no_batch_is_formed_before_it_is_full_or_old() -> None:
    desk = Desk()
    desk.batcher.add(Lane.BULK, aggregates(1), 100.0)
    assert list(desk.batcher.due(159.9)) == []
    assert desk.encodings == 0


def test_old_row_is_sent_with_all_waiting_rows() -> None:
    desk = Desk()
    desk.batcher.add(Lane.BULK, aggregates(1), 100.0)
    desk.batcher.add(Lane.BULK, aggregates(1, start=1), 150.0)
    (group,) = desk.batcher.due(160.0)
    assert (group.cause, len(group.rows), group.lane) == (Cause.OLD, 8, Lane.BULK)
    assert list(desk.batcher.due(1e9)) == []


def test_urgent_rows_leave_at_once_and_first() -> None:
    desk = Desk(max_age_s=0.0)
    desk.batcher.add(Lane.BULK, aggregates(1), 100.0)
    desk.batcher.add(Lane.URGENT, Anomalies((anomaly(),)), 100.0)
    desk.batcher.add(Lane.URGENT, Anomalies((anomaly("spike"),)), 100.0)
    urgent, bulk = desk.batcher.due(100.0)
    assert isinstance(urgent.rows, Anomalies)
    assert [r.cause for r in urgent.rows.reports] == ["level", "spike"]
    assert (urgent.lane, urgent.cause, bulk.lane) == (Lane.URGENT, Cause.URGENT, Lane.BULK)


def test_each_notice_is_a_batch_of_its_own_and_leaves_at_once() -> None:
    desk = Desk()
    for at in (1, 2):
        desk.batcher.add(Lane.BULK, Notice(at, {"forwarder": {"batches": at}}), 100.0)
    assert [group.rows for group in desk.batcher.due(100.0)] == [
        Notice(at, {"forwarder": {"batches": at}}) for at in (1, 2)
    ]


@pytest.mark.slow
def test_a_live_stream_fills_batches_to_the_byte_with_few_encodings() -> None:
    desk, groups, start = Desk(max_age_s=1e9), list[FormedBatch](), 0
    while len(groups) < 6:
        desk.batcher.add(Lane.BULK, aggregates(1, series=8, start=start), float(start))
        groups += desk.batcher.due(float(start))
        start += 1
    assert all(group.cause is Cause.FULL for group in groups)
    sizes = [len(group.body) for group in groups[2:]]
    assert max(sizes) <= MAX
    assert sum(sizes) / len(sizes) >= 0.98 * MAX
    assert desk.encodings <= 3.5 * len(groups)


@pytest.mark.slow
def test_a_backlog_leaves_in_full_batches_in_order_and_complete() -> None:
    desk = Desk(max_age_s=1e9)
    rows = aggregates(4_000)
    desk.batcher.add(Lane.BACKFILL, rows, 0.0)
    groups = list(desk.batcher.due(0.0))
    groups += desk.batcher.flush()
    assert max(len(group.body) for group in groups) <= MAX
    assert min(len(group.body) for group in groups[1:-1]) >= 0.95 * MAX
    assert keys(groups) == [
        (rows.series[i].name, int(t)) for i, t in zip(rows.series_index, rows.start_ms, strict=True)
    ]
    assert desk.encodings <= 3 * len(groups)


def test_rows_that_are_larger_than_estimated_are_corrected_in_few_encodings() -> None:
    desk = Desk(max_bytes=1_000, max_age_s=1e9)
    still = aggregates(200)
    for column in (still.mean, still.min, still.max):
        column[:] = 20.0
    desk.batcher.add(Lane.BULK, still, 0.0)
    groups = list(desk.batcher.flush())
    desk.encodings = 0
    desk.batcher.add(Lane.BULK, aggregates(200, start=200), 1.0)
    groups += list(desk.batcher.flush())
    assert len(keys(groups)) == 1_600
    assert max(len(group.body) for group in groups) <= 1_000
    assert desk.encodings <= 4 * len(groups)


def test_no_rows_are_not_kept() -> None:
    desk = Desk()
    desk.batcher.add(Lane.BULK, Anomalies(()), 0.0)
    assert list(desk.batcher.flush()) == []


def test_the_next_batch_is_due_when_the_oldest_row_reaches_its_maximum_age() -> None:
    desk = Desk()
    assert desk.batcher.next_due() is None
    desk.batcher.add(Lane.BULK, aggregates(50), 100.0)
    desk.batcher.add(Lane.BULK, aggregates(1), 130.0)
    assert desk.batcher.next_due() == 160.0


def test_a_too_large_report_is_rejected_and_blocks_nothing() -> None:
    desk = Desk(max_bytes=400)
    giant = anomaly(size=1_000)
    for report in (anomaly(), giant, anomaly("spike")):
        desk.batcher.add(Lane.URGENT, Anomalies((report,)), 0.0)
    groups = list(desk.batcher.due(0.0)) + list(desk.batcher.due(0.0))
    sent = [r.cause for g in groups if isinstance(g.rows, Anomalies) for r in g.rows.reports]
    assert sent == ["level", "spike"]
    (refused,) = desk.refused
    assert refused.rows == Anomalies((giant,))
    assert "400" in str(refused.error)


def test_rows_that_the_encoder_rejects_are_split_until_the_invalid_one_is_found() -> None:
    def encode(rows: Waiting) -> bytes:
        if isinstance(rows, Anomalies) and any(r.cause == "poison" for r in rows.reports):
            raise ModelError("poison")
        return codec.pack(rows)

    refused: list[RejectedRows] = []
    batcher = Batcher(encode, MAX, 0.0, refused.append)
    causes = ["a", "b", "poison", "c", "d"]
    batcher.add(Lane.URGENT, Anomalies(tuple(anomaly(c) for c in causes)), 0.0)
    groups = list(batcher.due(0.0)) + list(batcher.flush())
    sent = [r.cause for g in groups if isinstance(g.rows, Anomalies) for r in g.rows.reports]
    assert sent == ["a", "b", "c", "d"]
    assert len(refused) == 1


def test_a_series_leaves_the_directory_with_its_last_row() -> None:
    desk = Desk()
    desk.batcher.add(Lane.BULK, aggregates(1, series=40), 0.0)
    list(desk.batcher.flush())
    desk.batcher.add(Lane.BULK, aggregates(1, series=2), 0.0)
    (group,) = desk.batcher.flush()
    assert isinstance(group.rows, Aggregates)
    assert len(group.rows.series) == 2


@pytest.mark.slow
@settings(max_examples=examples(20))
@given(st.integers(0, 2**32), st.integers(300, 3_000), st.floats(0.3, 6.0))
def test_all_rows_are_formed_once_in_order_into_batches_within_the_limit(
    seed: int, max_bytes: int, cost: float
) -> None:
    """The size of a row varies by a factor of ten with this encoder."""
    rng = random.Random(seed)

    def encode(rows: Waiting) -> bytes:
        assert isinstance(rows, Aggregates)
        weight = sum(cost * (10 if int(t) // 10_000 % 97 < 30 else 1) for t in rows.start_ms)
        return bytes(40 + int(weight))

    refused: list[RejectedRows] = []
    batcher, start = Batcher(encode, max_bytes, 20.0, refused.append), 0
    groups, sent = list[FormedBatch](), list[tuple[str, int]]()
    for step in range(rng.randrange(1, 40)):
        rows = aggregates(rng.randrange(0, 60), series=rng.randrange(1, 5), start=start)
        start += 60
        batcher.add(Lane.BULK, rows, float(step))
        sent += [(rows.series[i].name, int(t)) for i, t in zip(rows.series_index, rows.start_ms, strict=True)]
        groups += batcher.due(float(step))
    groups += batcher.flush()
    assert not refused
    assert keys(groups) == sent
    assert all(len(group.body) <= max_bytes for group in groups)
    assert all(zlib.crc32(encode(group.rows)) == zlib.crc32(group.body) for group in groups)


def test_joining_parts_keeps_the_order_and_distinguishes_resolutions() -> None:
    one = aggregates(2, series=2)
    other = Aggregates((Series("pump.1", "Cel", 0.5), *one.series), *(getattr(one, c) for c in AGGREGATE_COLUMNS))
    both = Aggregates.concatenate([one, other])
    assert [s.resolution for s in both.series] == [0.1, 0.1, 0.5]
    assert both.series_index.tolist() == [0, 1, 0, 1, 2, 0, 2, 0]
    assert both.take(np.array([4])).compact().series == (Series("pump.1", "Cel", 0.5),)


@pytest.mark.parametrize("lane", list(Lane))
def test_every_lane_can_be_flushed(lane: Lane) -> None:
    desk = Desk()
    desk.batcher.add(lane, aggregates(1), 0.0)
    assert [group.lane for group in desk.batcher.flush()] == [lane]


def test_the_size_of_a_row_and_of_an_empty_batch_are_known_after_the_first_correction() -> None:
    """A batch of this encoder takes 1,000 bytes and 10 more a row, so that 400 rows fill one."""
    calls: list[int] = []

    def encode(rows: Waiting) -> bytes:
        calls.append(len(rows))
        return bytes(1_000 + 10 * len(rows))

    batcher = Batcher(encode, MAX, 60.0, list[RejectedRows]().append)
    batcher.add(Lane.BULK, aggregates(1_250, series=1), 0.0)
    formed = [len(group.rows) for group in batcher.due(0.0)]
    assert formed[1:] == calls[2:] == [400, 400]
    waiting = 1_250 - sum(formed)
    calls.clear()
    batcher.add(Lane.BULK, aggregates(399 - waiting, series=1), 1.0)
    assert list(batcher.due(1.0)) == []
    batcher.add(Lane.BULK, aggregates(1, series=1), 1.0)
    assert [(len(group.rows), group.cause) for group in batcher.due(1.0)] == [(400, Cause.FULL)]
    assert calls == [400]
