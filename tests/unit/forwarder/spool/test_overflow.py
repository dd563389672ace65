"""A full spool merges its oldest rows into wider windows, and drops batches only when merging does not suffice."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.forwarder.spool import Spool
from edge_components.forwarder.spool.overflow import MERGED_BATCHES, Overflow
from tests.fakes import FakeClock
from wire import codec
from wire.model import Aggregates, Series
from wire.topics import Lane

ROOM = 4_900


def windows(first: int, count: int) -> Aggregates:
    """Return ``count`` windows of a second of one noisy series."""
    chance = np.random.default_rng(first)
    mean = np.round(chance.normal(20, 5, count), 2)
    start = 1_700_000_000_000 + 1000 * (first * count + np.arange(count))
    constant = np.full(count, 1000), np.full(count, 10)
    columns = (mean, mean - 1, mean + 1, np.full(count, 0.5), np.zeros(count))
    return Aggregates((Series("pump-1.flow", "l/min", 0.01),), np.zeros(count, np.int64), start, *constant, *columns)


@pytest.fixture
def counters() -> Counters:
    return Counters()


@functools.cache
def packed(number: int) -> tuple[bytes, int]:
    """Return a batch of 64 windows, and its number of rows."""
    rows = windows(number, 64)
    return codec.pack(rows), len(rows)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool.open(tmp_path / "spool.sqlite3", epoch=5, max_bytes=1_000_000)
    for number in range(3 * MERGED_BATCHES):
        spool.put(Lane.BULK, *packed(number), 0, 0)
    spool.max_bytes = spool.size
    yield spool
    spool.close()


def overflow(spool: Spool, counters: Counters, max_width_ms: int = 3_600_000) -> Overflow:
    log = RateLimitedLog(counters, logging.getLogger("test"), FakeClock())
    return Overflow(spool, ROOM, max_width_ms, log)


def readings(spool: Spool) -> int:
    """Return the number of readings in all batches."""
    batches = [*spool.unsent(Lane.BACKFILL, 1000), *spool.unsent(Lane.BULK, 1000)]
    decoded = [codec.unpack(batch.body) for batch in batches]
    return sum(int(rows.count.sum()) for rows in decoded if isinstance(rows, Aggregates))


@pytest.mark.slow
def test_one_merge_is_made_if_it_suffices(spool: Spool, counters: Counters) -> None:
    before = readings(spool)
    assert overflow(spool, counters).make_room(100, 0)
    assert counters["rows_merged"] == spool.losses()["rows_merged"] > 0
    assert len(spool.unsent(Lane.BULK, 1000)) == 2 * MERGED_BATCHES
    assert readings(spool) == before


@pytest.mark.slow
def test_merging_is_repeated_until_the_rows_fit(spool: Spool, counters: Counters) -> None:
    before, needed = readings(spool), spool.size // 2
    assert overflow(spool, counters).make_room(needed, 0)
    assert spool.size + needed <= spool.max_bytes
    assert readings(spool) == before
    assert counters["dropped_rows"] == 0


def test_batches_are_dropped_when_merging_does_not_suffice(spool: Spool, counters: Counters) -> None:
    needed = spool.max_bytes - 1_000
    assert overflow(spool, counters, max_width_ms=4_000).make_room(needed, 0)
    assert spool.size + needed <= spool.max_bytes
    losses = spool.losses()
    assert losses["rows_merged"] > 0
    dropped = losses["dropped_rows_backfill"] + losses.get("dropped_rows_bulk", 0)
    assert counters["dropped_rows"] == dropped > 0


def test_an_empty_spool_that_is_too_small_makes_no_room(spool: Spool, counters: Counters) -> None:
    assert not overflow(spool, counters).make_room(spool.max_bytes + 1, 0)
    assert spool.size == 0


def refilled(spool: Spool, *batches: tuple[bytes, int]) -> None:
    """Replace the batches of a spool, which is full afterwards."""
    while spool.drop_oldest() is not None:
        pass
    for body, rows in batches:
        spool.put(Lane.BULK, body, rows, 0, 0)
    spool.max_bytes = spool.size


def test_two_batches_are_merged_and_a_single_one_is_not(spool: Spool, counters: Counters) -> None:
    refilled(spool, packed(0), packed(1))
    before = readings(spool)
    assert overflow(spool, counters).make_room(100, 0)
    assert readings(spool) == before
    merged = sum(batch.rows for batch in (*spool.unsent(Lane.BACKFILL, 1000), *spool.unsent(Lane.BULK, 1000)))
    assert counters["rows_merged"] == 2 * 64 - merged > 0
    refilled(spool, packed(0))
    assert overflow(spool, counters).make_room(100, 0)
    assert readings(spool) == 0
    assert counters["dropped_rows"] == 64


def test_a_merge_that_would_free_little_is_not_made(
    spool: Spool, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_components.forwarder.spool.overflow.MAX_RATIO", 0.01)
    refilled(spool, packed(0), packed(1))
    assert overflow(spool, counters).make_room(100, 0)
    assert counters["rows_merged"] == 0
    assert counters["dropped_rows"] == 64
    assert [batch.body for batch in spool.unsent(Lane.BULK, 10)] == [packed(1)[0]]
