"""Rows are packed into batches within the limit, each once and in order, and are rarely encoded twice."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest

from edge_components.common import readings_message
from edge_components.common.errors import HandoverError
from edge_components.common.handover import Outbox, RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.packing import Packer, plain_bytes, select
from tests.fakes import FakeClock
from wire.limits import MAX_LOCAL_BYTES
from wire.model import Batch, Readings, Series


def readings(count: int, series: int = 10, seed: int = 1) -> Readings:
    chance = np.random.default_rng(seed)
    return Readings(
        tuple(Series(f"d{at}.temperature", "Cel", 0.01) for at in range(series)),
        np.arange(count, dtype=np.int64) % series,
        1_700_000_000_000 + np.arange(count, dtype=np.int64),
        np.round(chance.normal(20, 5, count), 2),
        np.zeros(count, np.uint8),
    )


class Bench:
    """A packer with an outbox, and a count of encodings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int = MAX_LOCAL_BYTES, max_bytes: int = 10**8) -> None:
        self.outbox = Outbox(1, RetryPolicy(in_flight=10_000), random.Random(1), max_bytes)
        self.counters, self.encodings = Counters(), 0
        limited_log = RateLimitedLog(self.counters, logging.getLogger("test"), FakeClock())
        self.packer = Packer("gw", self.outbox, limit, limited_log)
        real = readings_message.encode

        def counted(batch: Batch, limit: int) -> bytes:
            self.encodings += 1
            return real(batch, limit)

        monkeypatch.setattr(readings_message, "encode", counted)

    def pack(self, rows: Readings) -> list[Readings]:
        while len(rows):
            rows = select(rows, slice(self.packer.put(rows), None))
        return [readings_message.decode(payload).rows for _, payload, _ in self.outbox.to_send(0.0)]  # type: ignore[misc]


def test_every_row_is_in_one_batch_in_order_and_every_batch_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, rows = Bench(monkeypatch), readings(20_000)
    batches = bench.pack(rows)
    assert len(batches) > 1
    np.testing.assert_array_equal(np.concatenate([batch.time_ms for batch in batches]), rows.time_ms)
    np.testing.assert_allclose(np.concatenate([batch.value for batch in batches]), rows.value, atol=1e-9)
    assert bench.outbox.size <= len(batches) * MAX_LOCAL_BYTES


def test_batches_are_well_filled_and_rarely_encoded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    batches = bench.pack(readings(50_000))
    assert bench.encodings <= len(batches) + 3
    assert bench.outbox.size / len(batches) >= 0.75 * MAX_LOCAL_BYTES


def test_rows_that_turn_out_larger_than_the_last_are_halved_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    still = readings(20_000)
    still.value[:] = 20.0
    noisy = readings(3_000, seed=2)
    noisy.value[:] = np.random.default_rng(3).normal(0, 1, 3_000)
    noisy.time_ms[:] = np.sort(np.random.default_rng(3).integers(0, 2**45, 3_000))
    bench.pack(still)
    batches = bench.pack(noisy)
    found = np.concatenate([batch.time_ms for batch in batches])
    np.testing.assert_array_equal(found[-3_000:], noisy.time_ms)
    assert bench.counters["dropped_rows_too_large"] == 0


def test_a_batch_is_full_when_its_rows_or_its_expected_bytes_reach_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    packer = Bench(monkeypatch, limit=1_000).packer
    assert not packer.full(93, 10, 19)
    assert packer.full(93, 10, 20)
    assert packer.full(95, 10, 0)
    assert not packer.full(65_535, 0, 0)
    assert packer.full(65_536, 0, 0)


def test_the_expected_bytes_follow_the_ratio_of_the_previous_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    rows = readings(200)
    assert bench.packer.put(rows) == 200
    ratio = bench.outbox.size / plain_bytes(rows)
    fitting = int(MAX_LOCAL_BYTES * 0.95 / ratio)
    assert ratio < 0.5
    assert not bench.packer.full(1, fitting - 2, 0)
    assert bench.packer.full(1, fitting + 2, 0)


def test_rows_of_which_each_fills_a_batch_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = readings(20, series=20)
    single = Bench(monkeypatch)
    single.packer.put(select(rows, slice(0, 1)))
    bench = Bench(monkeypatch, limit=single.outbox.size + 2)
    assert [len(batch) for batch in bench.pack(rows)] == [1] * 20
    assert bench.encodings <= 20 + 4  # the first batch is halved until it fits


def test_a_row_that_fits_no_batch_is_counted_and_the_next_one_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, limit=20)
    assert bench.packer.put(readings(1)) == 1
    assert bench.counters["dropped_rows_too_large"] == 1
    assert len(bench.outbox) == 0


def test_rows_stay_with_the_caller_when_the_outbox_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, max_bytes=100)
    with pytest.raises(HandoverError):
        bench.packer.put(readings(100))
    assert bench.outbox.next_sequence == 1


def test_a_selection_keeps_only_the_series_that_it_has_rows_of() -> None:
    rows = select(readings(10, series=5), slice(0, 2))
    assert [series.name for series in rows.series] == ["d0.temperature", "d1.temperature"]
    assert rows.series_index.tolist() == [0, 1]
    assert plain_bytes(rows) == 2 * 25 + 2 * (10 + len("d0.temperature") + len("Cel"))


def test_two_rows_that_are_both_too_large_are_dropped_one_by_one_without_an_empty_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, rows = Bench(monkeypatch, limit=60), readings(2)
    empty = Batch("gw", 1, 1, select(rows, slice(0, 0)))
    assert len(readings_message.encode(empty, 60)) < 60
    assert bench.packer.put(rows) == 1
    assert bench.packer.put(select(rows, slice(1, None))) == 1
    assert len(bench.outbox) == 0
    assert bench.counters["dropped_rows_too_large"] == 2
