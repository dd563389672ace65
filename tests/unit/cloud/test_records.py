"""Records give back every row to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloud_functions.core import columns
from cloud_functions.core.columns import COLUMNS, decode_columns, encode_columns
from cloud_functions.core.errors import CloudError, Reason, RejectError
from cloud_functions.core.records import (
    DAY_MS,
    Record,
    aggregates_of,
    join,
    records_of,
)
from tests.unit.cloud.fakes import START_MS, aggregates
from wire import codec
from wire.errors import TooLargeError
from wire.model import AGGREGATE_COLUMNS, Aggregates, Batch, Notice, Quality, Readings, Series

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
    mean, low, high, std, score = (rng.random(n) for _ in range(5))
    zeros = np.zeros(n, np.int64)
    with pytest.raises(RejectError) as caught:
        list(records_of(Aggregates(SERIES, zeros, zeros + START_MS, zeros, zeros, mean, low, high, std, score)))
    assert caught.value.reason is Reason.SIZE


def test_a_reading_becomes_a_window_of_a_millisecond_and_bad_ones_are_left_out() -> None:
    qualities = np.array([Quality.GOOD, Quality.BAD, Quality.UNCERTAIN, Quality.GOOD], np.uint8)
    values = np.array([1.5, 2.5, 3.5, np.nan])
    rows = aggregates_of(Readings(SERIES, np.array([0, 0, 1, 1]), np.arange(4) + START_MS, values, qualities))
    assert rows.start_ms.tolist() == [START_MS, START_MS + 2]
    assert rows.mean.tolist() == rows.min.tolist() == rows.max.tolist() == [1.5, 3.5]
    assert (rows.count.tolist(), rows.width_ms.tolist(), rows.std.tolist()) == ([1, 1], [1, 1], [0.0, 0.0])
    assert np.isnan(rows.score).all()


class Lossy:
    """A codec that refuses, or rounds, as one that keeps a stated precision does."""

    def __init__(self, refuses: bool) -> None:
        self.refuses = refuses

    def encode(self, batch: Batch, limit: int) -> bytes:
        if self.refuses:
            raise TooLargeError("too large")
        columns_ = [getattr(batch.rows, name) for name in AGGREGATE_COLUMNS]
        rounded = [np.trunc(column) if column.dtype.kind == "f" else column for column in columns_]
        return codec.encode(replace(batch, rows=Aggregates((SERIES[0],), *rounded)), limit)

    decode = staticmethod(codec.decode)


@pytest.mark.parametrize("refuses", [True, False])
@given(rows=many_rows(n_series=1))
def test_rows_that_the_wire_does_not_keep_are_kept_to_the_bit_all_the_same(refuses: bool, rows: Aggregates) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "codec", Lossy(refuses))
        packed = encode_columns(rows, SERIES[0])
    assert bits(decode_columns(packed, SERIES[0])) == bits(rows)


def test_rows_as_the_wire_gives_them_are_kept_as_the_wire_writes_them() -> None:
    sent = codec.decode(codec.encode(Batch("gw-1", 7, 1, aggregates(n_series=1)))).rows
    assert isinstance(sent, Aggregates)
    packed = encode_columns(sent, sent.series[0])
    assert packed[0] == 2
    assert isinstance(codec.decode(packed[1:]).rows, Aggregates)


@given(st.integers(0, 255), st.binary(max_size=200))
def test_bytes_that_are_no_record_are_refused(version: int, data: bytes) -> None:
    with pytest.raises(CloudError):
        decode_columns(bytes((version,)) + data, SERIES[0])


@pytest.mark.parametrize("refuses", [True, False])
def test_a_record_cut_short_is_refused(refuses: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if refuses:
            patch.setattr(columns, "codec", Lossy(refuses))
        packed = encode_columns(aggregates(n_series=1), SERIES[0])
    for size in range(len(packed)):
        with pytest.raises(CloudError):
            decode_columns(packed[:size], SERIES[0])


def test_a_record_of_another_kind_of_batch_is_refused() -> None:
    notice = codec.encode(Batch("_", 0, 1, Notice(1, {})))
    with pytest.raises(CloudError, match=r"columns that begin with"):
        decode_columns(b"\x02" + notice, SERIES[0])


def test_joining_nothing_gives_no_rows() -> None:
    rows = join([])
    assert len(rows) == 0
    assert [getattr(rows, name).dtype.kind for name in COLUMNS] == list("iiifffffiii")
