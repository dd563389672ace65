"""Queries of the API."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pytest

from cloud_functions.core import queries
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.queries import DAY_MS
from cloud_functions.core.storing import Storer
from tests.unit.cloud.fakes import (
    NOW_MS,
    START_MS,
    FakeAcknowledger,
    FakeDeadLetterSink,
    FakeTable,
    body,
)
from wire.model import Aggregates, Batch, Series

MIDNIGHT_MS = START_MS // DAY_MS * DAY_MS + DAY_MS
SERIES = Series("pump0.temperature", "Cel", 0.1)


def filled(*batches: Batch) -> FakeTable:
    table = FakeTable()
    storer = Storer(table, lambda: NOW_MS, 86_400_000)
    ingest = Ingest(table, storer, FakeAcknowledger(), FakeDeadLetterSink(), lambda: NOW_MS, logging.getLogger("test"))
    for batch in batches:
        ingest.accept("m", body(batch))
    ingest.finish()
    return table


def windows(*starts: int) -> Aggregates:
    n = len(starts)
    ones, mean = np.ones(n), np.arange(n, dtype=np.float64)
    return Aggregates(
        (SERIES,),
        np.zeros(n, np.int64),
        np.array(starts, np.int64),
        np.full(n, 10_000, np.int64),
        np.full(n, 10, np.int64),
        mean,
        mean - 1,
        mean + 1,
        ones,
        np.full(n, np.nan),
    )


def rows(table: FakeTable, **query: Any) -> dict[str, Any]:
    span = queries.read_span({"resolution": "raw"} | {k.rstrip("_"): str(v) for k, v in query.items()}, NOW_MS)
    return queries.aggregates(table, Profiles(table, lambda: NOW_MS).find, "gw-1", SERIES.name, span)


def test_rows_are_found_in_a_batch_that_begins_before_the_requested_time() -> None:
    starts = [MIDNIGHT_MS + at * 10_000 for at in range(-3, 4)]
    table = filled(Batch("gw-1", 7, 1, windows(*starts)))
    answer = rows(table, from_=starts[1], to=starts[-1])
    assert answer["columns"]["start_ms"] == starts[1:-1]
    assert answer["columns"]["mean"] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert answer["columns"]["score"] == [None] * 5
    assert (answer["unit"], answer["resolution"], answer["rows"]) == ("Cel", 0.1, 5)
    assert "next" not in answer


def test_pages_contain_every_row_once() -> None:
    starts = [START_MS + at * 10_000 for at in range(40)]
    table = filled(*(Batch("gw-1", 7, n + 1, windows(*starts[n::4])) for n in range(4)))
    seen: list[int] = []
    query: dict[str, Any] = {"from_": START_MS, "to": START_MS + DAY_MS, "limit": 10}
    for _ in range(5):
        answer = rows(table, **query)
        seen += answer["columns"]["start_ms"]
        if "next" not in answer:
            break
        query["cursor"] = answer["next"]
    assert seen == starts


def test_rows_of_overlapping_batches_are_ordered_by_time() -> None:
    table = filled(
        Batch("gw-1", 7, 1, windows(START_MS, START_MS + 20_000)), Batch("gw-1", 7, 2, windows(START_MS + 10_000))
    )
    answer = rows(table, from_=START_MS, to=START_MS + DAY_MS)
    assert answer["columns"]["start_ms"] == [START_MS, START_MS + 10_000, START_MS + 20_000]


def test_a_series_without_rows_is_empty_and_an_unknown_one_is_not_found() -> None:
    table = filled(Batch("gw-1", 7, 1, windows(START_MS)))
    assert rows(table, from_=0, to=1_000)["rows"] == 0
    span = queries.read_span({}, NOW_MS)
    with pytest.raises(NotFoundError, match="gateway gw-1 has no series other"):
        queries.aggregates(table, lambda *_: None, "gw-1", "other", span)
    with pytest.raises(RequestError, match="series name"):
        queries.aggregates(table, lambda *_: None, "gw-1", "-", span)
    with pytest.raises(RequestError, match="gateway"):
        queries.aggregates(table, lambda *_: None, "gw#1", "other", span)


def test_the_default_span_is_the_last_hour() -> None:
    span = queries.read_span({}, NOW_MS)
    assert (span.from_ms, span.to_ms) == (NOW_MS - 3_600_000, NOW_MS)
    span = queries.read_span({"from": "2025-06-15T15:06:40Z", "to": "2025-06-15T17:06:41.5+02:00"}, NOW_MS)
    assert (span.from_ms, span.to_ms) == (START_MS, START_MS + 1_500)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"from": "yesterday"}, "from: 'yesterday'"),
        ({"from": "2025-06-15T15:06:40"}, "from: '2025-06-15T15:06:40'"),
        ({"from": "-5"}, "from: '-5'"),
        ({"to": "9" * 400}, "to: '999"),
        ({"from": "5", "to": "5"}, "from: 5 is not before to, 5"),
        ({"limit": "0"}, "limit: '0': 1 to 20000"),
        ({"limit": "²"}, "limit: '²'"),
        ({"cursor": "zz"}, "cursor: 'zz'"),
        ({"cursor": "5"}, "cursor: '5'"),
        ({"resolution": "5m"}, "resolution: '5m': one of auto, raw, 15m, 1h, 1d"),
    ],
)
def test_an_invalid_span_is_rejected_with_its_key(query: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        queries.read_span(query, NOW_MS)
    assert any(message in problem for problem in caught.value.problems)


def test_values_that_json_cannot_represent_become_null() -> None:
    table = filled(Batch("gw-1", 7, 1, windows(START_MS)))
    assert all(math.isfinite(v) for column in rows(table, from_=0, to=NOW_MS)["columns"].values() for v in column if v)
