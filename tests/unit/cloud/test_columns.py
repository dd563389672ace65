"""Joining, merging and exact encoding of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloud_functions.core.columns import COLUMNS, aggregates_of, decode_rows, encode_rows, merge
from cloud_functions.core.errors import CloudError
from tests.unit.cloud.fakes import START_MS, aggregates
from wire.model import AGGREGATE_COLUMNS, FLOAT_COLUMNS, Aggregates, Quality, Readings, Series

SERIES = (Series("a.x", "Cel", 0.1), Series("b/y"), Series("a.x", "K"))


@st.composite
def many_rows(draw: st.DrawFn) -> Aggregates:
    n = draw(st.integers(0, 40))
    times = draw(hnp.arrays(np.int64, n, elements=st.integers(-(2**63), 2**63 - 1)))
    floats = [draw(hnp.arrays(np.float64, n, elements=st.floats(width=64))) for _ in range(5)]
    index = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2)))
    width = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2**62)))
    count = draw(hnp.arrays(np.int64, n, elements=st.integers(-(2**63), 2**63 - 1)))
    return Aggregates(SERIES, index, times, width, count, *floats)


def bits(rows: Aggregates) -> list[tuple[Any, ...]]:
    """Return the rows with the bits of their floats, so that NaN equals itself and -0.0 differs from 0.0."""
    names = [rows.series[at] for at in rows.series_index]
    columns = [np.ascontiguousarray(getattr(rows, name)).view(np.int64).tolist() for name in COLUMNS]
    return list(zip(names, *columns, strict=True))


@given(many_rows())
def test_encoded_rows_are_restored_to_the_bit(rows: Aggregates) -> None:
    back = decode_rows(encode_rows(rows))
    assert bits(back) == bits(rows)
    assert back.series == rows.series


def test_the_same_rows_give_the_same_bytes() -> None:
    assert encode_rows(aggregates(3)) == encode_rows(aggregates(3))


@given(st.integers(0, 255), st.binary(max_size=200))
def test_other_bytes_are_rejected(version: int, data: bytes) -> None:
    with pytest.raises(CloudError):
        decode_rows(bytes((version,)) + data)


def test_truncated_rows_are_rejected() -> None:
    data = encode_rows(aggregates(n_series=1))
    for size in range(len(data)):
        with pytest.raises(CloudError):
            decode_rows(data[:size])


def test_joining_no_tables_gives_no_rows() -> None:
    rows = Aggregates.concatenate([])
    assert len(rows) == len(merge([])) == 0
    assert all(getattr(rows, name).dtype.kind == ("f" if name in FLOAT_COLUMNS else "i") for name in AGGREGATE_COLUMNS)


def windows(*rows: tuple[int, int, float], series: tuple[Series, ...] = SERIES[:1]) -> Aggregates:
    """Return rows of (series index, start, mean), 10 ms wide."""
    index, start, mean = (np.array(column) for column in zip(*rows, strict=True))
    ones, values = np.ones(len(index), np.int64), mean.astype(np.float64)
    return Aggregates(series, index, start, 10 * ones, ones, values, values, values, 0 * values, 0 * values)


def test_a_merge_keeps_the_last_of_equal_windows_and_sorts_by_series_and_time() -> None:
    series = (Series("b"), Series("a"))
    one = windows((0, 20, 1.0), (0, 10, 2.0), (1, 30, 3.0), series=series)
    two = windows((0, 10, 4.0))
    merged = merge([one, windows((1, 30, 5.0), series=series), two])
    assert [series.name for series in merged.series] == ["a", "a.x", "b"]
    found = [(merged.series[at].name, start) for at, start in zip(merged.series_index, merged.start_ms, strict=True)]
    assert found == [("a", 30), ("a.x", 10), ("b", 10), ("b", 20)]
    assert merged.mean.tolist() == [5.0, 4.0, 2.0, 1.0]


def test_a_merge_keeps_the_highest_revision_in_any_order() -> None:
    if "revision" not in AGGREGATE_COLUMNS:
        pytest.skip("revisions are not in the wire format")
    old, new = windows((0, 10, 1.0), (0, 20, 2.0)), windows((0, 10, 3.0))
    new.revision[:] = 1
    for parts in ([old, new], [new, old]):
        assert merge(parts).mean.tolist() == [3.0, 2.0]


def test_windows_of_other_widths_units_and_resolutions() -> None:
    wide = windows((0, 10, 1.0))
    wide.width_ms[:] = 20
    assert len(merge([windows((0, 10, 2.0)), wide])) == 2
    kelvin = windows((0, 10, 280.0), series=(Series("a.x", "K"),))
    assert [series.unit for series in merge([windows((0, 10, 2.0)), kelvin]).series] == ["Cel", "K"]
    finer = windows((0, 10, 3.0), series=(Series("a.x", "Cel", 0.01),))
    assert merge([windows((0, 10, 2.0)), finer]).mean.tolist() == [3.0]


def test_a_reading_becomes_a_window_of_a_millisecond_and_bad_ones_are_left_out() -> None:
    qualities = np.array([Quality.GOOD, Quality.BAD, Quality.UNCERTAIN, Quality.GOOD], np.uint8)
    values = np.array([1.5, 2.5, 3.5, np.nan])
    rows = aggregates_of(Readings(SERIES, np.array([0, 0, 1, 1]), np.arange(4) + START_MS, values, qualities))
    assert rows.start_ms.tolist() == [START_MS, START_MS + 2]
    assert rows.mean.tolist() == rows.min.tolist() == rows.max.tolist() == [1.5, 3.5]
    assert (rows.count.tolist(), rows.width_ms.tolist(), rows.std.tolist()) == ([1, 1], [1, 1], [0.0, 0.0])
    assert np.isnan(rows.score).all()
