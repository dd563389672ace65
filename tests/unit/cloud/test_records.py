"""Records give back every row to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloud_functions.core.errors import CloudError, Reason, RejectError
from cloud_functions.core.records import (
    COLUMNS,
    DAY_MS,
    Record,
    aggregates_of,
    decode_columns,
    encode_columns,
    join,
    records_of,
)
from tests.unit.cloud.fakes import START_MS, aggregates
from wire.model import AGGREGATE_COLUMNS, Aggregates, Quality, Readings, Series

SERIES = (Series("a.x", "Cel", 0.1), Series("b/y"), Series("a.x", "K"))


@st.composite
def many_rows(draw: st.DrawFn, n_series: int = 3) -> Aggregates:
    n = draw(st.integers(0, 40))
    times = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 5 * DAY_MS)))
    floats = [draw(hnp.arrays(np.float64, n, elements=st.floats(width=64))) for _ in range(5)]
    index = draw(hnp.arrays(np.int64, n, elements=st.integers(0, n_series - 1)))
    width = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2**62)))
    count = draw(hnp.arrays(np.int64, n, elements=st.integers(-(2**63), 2**63 - 1)))
    return Aggregates(SERIES, index, times, width, count, *floats)


def bits(rows: Aggregates) -> list[tuple[Any, ...]]:
    """Rows with the bits of their floats, so that NaN equals itself and -0.0 is not 0.0."""
    names = [rows.series[at].name for at in rows.series_index]
    columns = [np.ascontiguousarray(getattr(rows, name)).view(np.int64).tolist() for name in AGGREGATE_COLUMNS[1:]]
    return sorted(zip(names, *columns, strict=True))


def read(records: list[Record]) -> Aggregates:
    return join([decode_columns(record.columns, record.series) for record in records])


@given(many_rows())
def test_records_give_back_every_row_to_the_bit(rows: Aggregates) -> None:
    assert bits(read(list(records_of(rows)))) == bits(rows)


@given(many_rows())
def test_a_record_has_one_series_one_day_and_a_key_of_its_own(rows: Aggregates) -> None:
    records = list(records_of(rows))
    assert len({(record.series.name, record.first_ms) for record in records}) == len(records)
    for record in records:
        part = decode_columns(record.columns, record.series)
        assert len(part) == record.rows
        assert (part.start_ms[0], part.start_ms[-1]) == (record.first_ms, record.last_ms)
        assert part.start_ms.tolist() == sorted(part.start_ms.tolist())
        assert record.first_ms // DAY_MS == record.last_ms // DAY_MS


def test_the_same_rows_give_the_same_bytes() -> None:
    assert list(records_of(aggregates(3))) == list(records_of(aggregates(3)))


@pytest.mark.parametrize(("start_ms", "width_ms"), [(-1, 1), (10**13, 1), (2**63 - 1, 2**63 - 1), (5, -1)])
def test_a_time_that_cannot_be_a_key_is_rejected(start_ms: int, width_ms: int) -> None:
    one = np.array([0], np.int64)
    zero = np.zeros(1)
    start, width = np.array([start_ms], np.int64), np.array([width_ms], np.int64)
    rows = Aggregates(SERIES, one, start, width, one, zero, zero, zero, zero, zero)
    with pytest.raises(RejectError, match=r"series a\.x") as caught:
        list(records_of(rows))
    assert caught.value.reason is Reason.TIME


def test_a_record_larger_than_an_item_is_rejected() -> None:
    rng = np.random.default_rng(1)
    n = 12_000
    floats = [rng.random(n) for _ in range(5)]
    zeros = np.zeros(n, np.int64)
    with pytest.raises(RejectError) as caught:
        list(records_of(Aggregates(SERIES, zeros, zeros + START_MS, zeros, zeros, *floats)))
    assert caught.value.reason is Reason.SIZE


def test_a_reading_becomes_a_window_of_a_millisecond_and_bad_ones_are_left_out() -> None:
    qualities = np.array([Quality.GOOD, Quality.BAD, Quality.UNCERTAIN, Quality.GOOD], np.uint8)
    values = np.array([1.5, 2.5, 3.5, np.nan])
    rows = aggregates_of(Readings(SERIES, np.array([0, 0, 1, 1]), np.arange(4) + START_MS, values, qualities))
    assert rows.start_ms.tolist() == [START_MS, START_MS + 2]
    assert rows.mean.tolist() == rows.min.tolist() == rows.max.tolist() == [1.5, 3.5]
    assert (rows.count.tolist(), rows.width_ms.tolist(), rows.std.tolist()) == ([1, 1], [1, 1], [0.0, 0.0])
    assert np.isnan(rows.score).all()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_record_are_refused(data: bytes) -> None:
    with pytest.raises(CloudError):
        decode_columns(b"\x01" + data if len(data) < 4 else b"\x09" + data, SERIES[0])


def test_a_record_cut_short_is_refused() -> None:
    columns = encode_columns(aggregates())
    for size in range(len(columns)):
        with pytest.raises(CloudError):
            decode_columns(columns[:size], SERIES[0])


def test_joining_nothing_gives_no_rows() -> None:
    rows = join([])
    assert len(rows) == 0
    assert [getattr(rows, name).dtype.kind for name in COLUMNS] == list("iiifffff")
