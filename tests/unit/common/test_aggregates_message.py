"""A batch of aggregates is transferred exactly, and damaged bytes are rejected with a DecodeError."""

from __future__ import annotations

import contextlib
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.common import aggregates_message
from wire import codec
from wire.errors import DecodeError, FormatError, LimitError, ModelError, TooLargeError
from wire.limits import MAX_BATCH_BYTES, MAX_LOCAL_BYTES
from wire.model import AGGREGATE_COLUMNS, Aggregates, Batch, Notice, Series

START_MS = 1_700_000_000_000
SERIES = (Series("pump-1.temperature", "Cel", 0.1), Series("pump-1.level"), Series("x:y", "m3/h"))
Row = tuple[int, int, int, int, float, float, float, float, float]


def batch(rows: list[Row], epoch: int = 2**64 - 1, sequence: int = 7) -> Batch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(AGGREGATE_COLUMNS)
    arrays = [np.array(column, np.int64 if at < 4 else np.float64) for at, column in enumerate(columns)]
    return Batch("gw", epoch, sequence, Aggregates(SERIES, *arrays))  # type: ignore[arg-type]


def rows_of(found: Batch) -> list[tuple[object, ...]]:
    """Return the rows with each number as its bytes, so that NaN and -0.0 are compared too."""
    assert isinstance(found.rows, Aggregates)
    columns = [getattr(found.rows, name) for name in AGGREGATE_COLUMNS]
    return [tuple(value.tobytes() for value in row) for row in zip(*columns, strict=True)]


def window(series: int, at: int = 0, score: float = np.nan) -> Row:
    return series, START_MS + 10_000 * at, 10_000, 10, 20.123456789, 19.5, 21.25, 0.4321, score


numbers = st.floats(allow_infinity=False).map(lambda value: np.nan if value != value else value) | st.integers(
    -(10**9), 10**9
).map(lambda value: value / 100)
scores = st.just(float("nan")) | st.floats(0, 99) | st.integers(0, 99_000).map(lambda value: value / 1_000)
windows = st.tuples(
    st.integers(0, 2),
    st.integers(0, 2**61) | st.integers(START_MS, START_MS + 10**6),
    st.integers(1, 86_400_000),
    st.integers(0, 2**40),
    numbers,
    numbers,
    numbers,
    numbers,
    scores,
)


@given(st.lists(windows, max_size=40))
def test_aggregates_are_decoded_exactly_in_the_order_of_time(rows: list[Row]) -> None:
    sent = batch(rows)
    found = aggregates_message.decode(aggregates_message.encode(sent, 10**6))
    assert (found.gateway, found.epoch, found.sequence) == ("gw", 2**64 - 1, 7)
    assert found.rows.series == SERIES  # type: ignore[union-attr]
    expected = batch(sorted(rows, key=lambda row: (row[1], row[0])))
    assert rows_of(found) == rows_of(expected)


@given(st.lists(st.tuples(windows, *[st.integers(0, 2**61)] * 3), min_size=1, max_size=20))
def test_revisions_and_numbers_by_quality_come_back_exactly(rows: list[tuple[Row, int, int, int]]) -> None:
    ordered = sorted(rows, key=lambda row: (row[0][1], row[0][0]))
    extra = [np.array([row[at] for row in ordered], np.int64) for at in (1, 2, 3)]
    sent = batch([row[0] for row in ordered])
    assert isinstance(sent.rows, Aggregates)
    revised = replace(sent, rows=replace(sent.rows, revision=extra[0], uncertain=extra[1], bad=extra[2]))
    assert rows_of(aggregates_message.decode(aggregates_message.encode(revised, 10**6))) == rows_of(revised)


def test_rows_without_revisions_are_sent_in_the_first_format() -> None:
    plain = batch([window(0)])
    assert isinstance(plain.rows, Aggregates)
    assert aggregates_message.encode(plain)[:4] == aggregates_message.MAGIC
    revised = replace(plain, rows=replace(plain.rows, revision=np.ones(1, np.int64)))
    assert aggregates_message.encode(revised)[:4] == aggregates_message.REVISED


def test_a_window_of_many_series_fits_a_message_with_its_scores() -> None:
    chance = np.random.default_rng(1)
    count = 160
    series = tuple(Series(f"d{at // 8:04d}.c{at % 8}") for at in range(count))
    value = np.round(chance.normal(20, 1, (count, 10)), 2)
    start_ms, width_ms, readings = (np.full(count, number) for number in (START_MS, 10_000, 10))
    mean, low, high, std = value.mean(axis=1), value.min(axis=1), value.max(axis=1), value.std(axis=1)
    unscored = np.full(count, np.nan)
    rows = Aggregates(series, np.arange(count), start_ms, width_ms, readings, mean, low, high, std, unscored)
    plain = Batch("gw", 1, 1, rows)
    assert len(aggregates_message.encode(plain, MAX_BATCH_BYTES)) < 30 * count
    scored = replace(plain, rows=replace(rows, score=np.round(chance.random(count), 3)))
    assert len(aggregates_message.encode(scored, MAX_LOCAL_BYTES)) < 34 * count


def test_a_batch_in_the_wire_format_is_read_too() -> None:
    sent = batch([window(0), window(2, 1)])
    found = aggregates_message.decode(codec.encode(sent, MAX_LOCAL_BYTES))
    assert found.rows.series == SERIES  # type: ignore[union-attr]
    assert len(found.rows) == 2


def test_what_does_not_fit_or_is_no_aggregate_is_refused() -> None:
    with pytest.raises(TooLargeError, match="at most 20"):
        aggregates_message.encode(batch([window(0)]), 20)
    with pytest.raises(ModelError, match="a batch of Notice"):
        aggregates_message.encode(Batch("gw", 1, 1, Notice(1, {})))


def test_every_damaged_byte_is_noticed() -> None:
    whole = aggregates_message.encode(batch([window(0), window(1, 1, 0.5)]))
    for at in range(len(whole)):
        with pytest.raises(DecodeError):
            aggregates_message.decode(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DecodeError):
            aggregates_message.decode(whole[:at])


def sealed(body: bytes) -> bytes:
    content = struct.pack("<QQB", 1, 1, 2) + b"gw" + zlib.compress(body)
    return struct.pack("<4sI", aggregates_message.MAGIC, zlib.crc32(content)) + content


def test_body_shorter_than_its_counts_is_rejected() -> None:
    head = struct.Struct("<IIq9B")
    ones = [1, 1, 1, 1, 0, 0, 0, 0, 254]
    row = bytes(4) + bytes(16)
    for body, error, text in (
        (b"", FormatError, "shorter"),
        (head.pack(2, 0, 0, *ones), FormatError, "do not fit 2 rows"),
        (head.pack(2**31, 0, 0, *ones), LimitError, "rows, at most"),
        (head.pack(0, 0, 2**63 - 1, *ones), FormatError, "62 bits"),
        (head.pack(0, 0, 0, 3, *ones[1:]), FormatError, "integers of 3 bytes"),
        (head.pack(0, 0, 0, *ones[:4], 7, *ones[5:]), FormatError, "7 decimals"),
        (head.pack(1, 0, 0, *ones) + row, FormatError, "directory of 0"),
        (head.pack(0, 0, 0, *ones) + b"x", FormatError, "1 bytes are left"),
        (head.pack(1, 3, 0, *ones[:8], 0) + b"a\t\t" + row + struct.pack("<i", -2), FormatError, "score: below 0"),
        (bytes(9_000_000), LimitError, "body: more than"),
    ):
        with pytest.raises(error, match=text):
            aggregates_message.decode(sealed(body))


@given(st.binary(max_size=200))
def test_arbitrary_bodies_give_a_batch_or_a_decode_error(body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        aggregates_message.decode(sealed(body))
