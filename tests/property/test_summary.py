"""The summary of a batch equals that of its decoded rows, for every coder and with a profile, and rejects no more."""

from __future__ import annotations

import contextlib

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.property.test_codec import BUSY, CODERS, LIMIT, aggregates, readings
from wire import codec, container, profile
from wire.codec import Coder, Kind, Profile
from wire.errors import DecodeError
from wire.model import Aggregates, Batch, Readings, Series
from wire.summary import Summary, read_name, read_present, summarize


def summary_of(rows: Readings | Aggregates) -> tuple[int, int, int]:
    times = rows.time_ms if isinstance(rows, Readings) else rows.start_ms
    return (len(rows), int(times.min()), int(times.max())) if len(rows) else (0, 0, -1)


def summarized(data: bytes, known: Profile | None = None) -> Summary:
    return summarize(read_name(data), lambda *_: known, lambda *_: None if known is None else len(known.series))


@BUSY
@given(rows=readings() | aggregates(), coders=st.sampled_from(CODERS))
def test_the_summary_is_that_of_the_decoded_rows(rows: Readings | Aggregates, coders: frozenset[Coder]) -> None:
    data = codec.encode(Batch("g", 1, 1, rows), LIMIT, coders=coders)
    found, decoded = summarized(data), codec.decode(data).rows
    assert isinstance(decoded, Readings | Aggregates)
    assert (found.rows, found.first_ms, found.last_ms) == summary_of(decoded)
    assert found.series == decoded.series


def windows(jitter: list[int], step: int) -> Aggregates:
    """Return rows of three series with gaps in their times."""
    n = len(jitter)
    index = np.arange(n) % 3
    start = 1_790_000_000_000 + np.arange(n) // 3 * step + np.array(jitter, np.int64)
    values = np.arange(n) / 10.0
    series = tuple(Series(f"a.{name}", "Cel", 0.1) for name in "xyz")
    columns = (start, np.full(n, step), np.full(n, 10), values, values, values, np.zeros(n), np.zeros(n))
    return Aggregates(series, index, *columns)


@BUSY
@given(
    jitter=st.lists(st.sampled_from([0, 0, 0, 0, 10_000, 1]), min_size=1, max_size=60),
    step=st.sampled_from([1_000, 10_000]),
)
@example(jitter=[0] * 60, step=10_000)
@example(jitter=[0] * 30 + [10_000] + [0] * 29, step=10_000)
def test_the_summary_of_a_batch_with_a_profile_is_that_of_its_decoded_rows(jitter: list[int], step: int) -> None:
    rows = windows(jitter, step)
    known = profile.learn(rows)
    for packed in codec._pack_known(rows, known):
        data = codec.seal("g", 1, 1, packed)
        decoded = codec.decode(data, lambda *_: known).rows
        found = summarized(data, known)
        assert isinstance(decoded, Aggregates)
        assert (found.rows, found.first_ms, found.last_ms) == summary_of(decoded)
        assert found.series is None


@BUSY
@given(
    rows=readings() | aggregates(),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_a_damaged_head_that_decodes_has_a_summary(rows: Readings | Aggregates, changes: list[tuple[int, int]]) -> None:
    kind = Kind.READINGS if isinstance(rows, Readings) else Kind.AGGREGATES
    content = bytearray(container.unpack(codec.pack(rows, coders=frozenset({Coder.NONE}))).stream)
    for at, value in changes:
        content[at % len(content)] = value
    data = codec.seal("g", 1, 1, container.pack(kind, Coder.NONE, len(content), bytes(content)), LIMIT)
    decoded = None
    with contextlib.suppress(DecodeError):
        decoded = codec.decode(data).rows
    if decoded is None:
        with contextlib.suppress(DecodeError):
            summarized(data)
        return
    assert isinstance(decoded, Readings | Aggregates)
    found = summarized(data)
    assert (found.rows, found.first_ms, found.last_ms) == summary_of(decoded)


@BUSY
@given(rows=readings() | aggregates(), coders=st.sampled_from(CODERS))
def test_the_present_series_are_those_with_decoded_rows(rows: Readings | Aggregates, coders: frozenset[Coder]) -> None:
    data = codec.encode(Batch("g", 1, 1, rows), LIMIT, coders=coders)
    decoded, present = codec.decode(data).rows, read_present(read_name(data))
    assert isinstance(decoded, Readings | Aggregates)
    assert present.profile is None
    assert present.series == tuple(decoded.series[at] for at in sorted(set(decoded.series_index.tolist())))


def test_the_present_series_of_a_batch_with_a_profile_are_ids_in_it() -> None:
    rows = windows([0] * 30, 10_000)
    known = profile.learn(rows)
    few = rows.take(np.flatnonzero(rows.series_index != 1))
    for part, names in ((rows, {"a.x", "a.y", "a.z"}), (few, {"a.x", "a.z"})):
        for packed in codec._pack_known(part, known):
            present = read_present(read_name(codec.seal("g", 1, 1, packed)))
            assert present.profile == known.version
            assert {known.series[series_id].name for series_id in present.series_ids} == names
