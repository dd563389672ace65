"""A batch of readings is transferred exactly, and damaged bytes are rejected with a DecodeError."""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.common import readings_message
from wire import codec
from wire.errors import DecodeError, LimitError, ModelError, TooLargeError
from wire.limits import MAX_LOCAL_BYTES
from wire.model import Batch, Notice, Readings, Series

NAMES = ("pump-1.temperature", "pump-1.level", "x:y")


def batch(rows: list[tuple[int, int, float, int]], unit: str = "Cel", resolution: float | None = 0.1) -> Batch:
    series = (Series(NAMES[0], unit, resolution), *(Series(name) for name in NAMES[1:]))
    index, time, value, quality = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = (np.array(index, np.int64), np.array(time, np.int64), np.array(value, np.float64))
    return Batch("gw", 2**64 - 1, 7, Readings(series, *columns, np.array(quality, np.uint8)))


def unpacked(found: Batch) -> list[tuple[int, int, float, int]]:
    rows = found.rows
    assert isinstance(rows, Readings)
    columns = (rows.series_index, rows.time_ms, rows.value, rows.quality)
    return list(zip(*(column.tolist() for column in columns), strict=True))


values = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18).map(lambda n: n / 100)
times = st.integers(0, 2**62) | st.integers(1_700_000_000_000, 1_700_000_100_000)


@given(st.lists(st.tuples(st.integers(0, 2), times, values, st.integers(0, 2)), max_size=60))
def test_every_reading_is_restored_exactly_in_the_order_of_time(rows: list[tuple[int, int, float, int]]) -> None:
    sent = batch(rows)
    found = readings_message.decode(readings_message.encode(sent, 10**6))
    assert (found.gateway, found.epoch, found.sequence) == ("gw", 2**64 - 1, 7)
    assert found.rows.series == sent.rows.series  # type: ignore[union-attr]
    expected = sorted(rows, key=lambda row: (row[1], row[0]))
    assert [(*row[:2], np.float64(row[2]).tobytes(), row[3]) for row in unpacked(found)] == [
        (*row[:2], np.float64(row[2]).tobytes(), row[3]) for row in expected
    ]


def test_many_readings_of_two_decimals_take_few_bytes() -> None:
    chance = np.random.default_rng(1)
    rows = [(at % 3, 1_700_000_000_000 + at, round(float(chance.normal(20, 1)), 2), 0) for at in range(2_000)]
    assert len(readings_message.encode(batch(rows))) < 3 * len(rows)


def test_a_batch_of_a_former_version_in_the_wire_format_is_read_too() -> None:
    sent = batch([(0, 5, 1.5, 0), (2, 6, 2.5, 1)])
    assert unpacked(readings_message.decode(codec.encode(sent, MAX_LOCAL_BYTES))) == unpacked(sent)


def test_too_large_messages_and_other_rows_are_rejected() -> None:
    with pytest.raises(TooLargeError):
        readings_message.encode(batch([(0, 5, 1.5, 0)]), 20)
    with pytest.raises(ModelError):
        readings_message.encode(Batch("gw", 1, 1, Notice(1, {})))


def test_an_urgent_batch_is_read_as_the_other_is() -> None:
    sent = readings_message.encode(batch([(0, 5, 1.5, 0)]))
    marked = readings_message.urgent(sent)
    assert (readings_message.is_urgent(sent), readings_message.is_urgent(marked)) == (False, True)
    assert unpacked(readings_message.decode(marked)) == unpacked(readings_message.decode(sent))


@given(st.data())
def test_a_changed_or_truncated_message_is_rejected(data: st.DataObject) -> None:
    whole = readings_message.encode(batch([(0, 5, 1.5, 0), (2, 6, 2.5, 1)]))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = whole[:at]
    else:
        damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    if readings_message.is_urgent(damaged):
        return  # the request for a commit is not covered by the checksum: the batch is the same
    try:
        found = readings_message.decode(damaged)
    except DecodeError:
        return
    pytest.fail(f"decoded {found}")


def sealed(body: bytes) -> bytes:
    content = struct.pack("<QQB", 1, 1, 2) + b"gw" + zlib.compress(body)
    return struct.pack("<4sI", readings_message.MAGIC, zlib.crc32(content)) + content


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_body_is_decoded_or_rejected(body: bytes, rows: int) -> None:
    head = struct.pack("<IIq4B", rows, 0, 0, 1, 1, 0, 0)
    for content in (body, head + body):
        with contextlib.suppress(DecodeError):
            readings_message.decode(sealed(content))


def test_a_body_that_inflates_beyond_its_limit_is_rejected() -> None:
    with pytest.raises(LimitError):
        readings_message.decode(sealed(bytes(9_000_000)))
